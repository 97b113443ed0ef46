"""StackRun: one run of a compose stack that is up, driven through its master's HTTP API, from start to verdict."""

from __future__ import annotations

import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from loadstone.archive.folder import RunFolder
from loadstone.domain.live import RunStatus
from loadstone.domain.objective import parse_objectives
from loadstone.errors import PlatformError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.report.live_view import View
    from loadstone.settings import RunSettings

__all__ = ["StackRun", "check_fits_stack"]

_LOOK_EVERY_S: Final = 0.5
_SHOW_EVERY_S: Final = 5.0
_DEFAULT_RUN_TIME_S: Final = 60.0
_MASTER_AWAY_S: Final = 60.0
_WORKERS_WITHIN_S: Final = 60.0
_FOLDER_WITHIN_S: Final = 30.0
_CLOSES_WITHIN_S: Final = 900.0
_GOING_ON: Final = frozenset({"spawning", "running", "cleanup", "stopping"})
_NOT_FOR_STACKS: Final = {
    "locustfile": "Set SCENARIO_FOLDER and SCENARIO of the stack",
    "tags": "Put them into the scenario",
    "exclude_tags": "Put them into the scenario",
    "target_pid": "The stack records every container",
    "redis_url": "The stack has its own",
    "influx_url": "The stack has its own",
}


def check_fits_stack(settings: RunSettings, arguments: tuple[str, ...]) -> None:
    """Raise `UsageError` for what only a run on this machine can be told."""
    parse_objectives(settings.objective)
    for name, cure in _NOT_FOR_STACKS.items():
        if getattr(settings, name):
            raise UsageError(f"--{name.replace('_', '-')} does not go with --stack", hint=cure)
    if arguments:
        raise UsageError(f"{' '.join(arguments)} does not go with --stack", hint="Set it in the stack's scenario")


class StackRun:
    """One run. ``interrupted()`` says whether somebody wants it to end early."""

    def __init__(self, settings: RunSettings, view: View, interrupted: Callable[[], bool]) -> None:
        self._settings = settings
        self._view = view
        self._interrupted = interrupted
        self._client = httpx.Client(base_url=settings.stack_url, timeout=10, trust_env=False)
        self._answered_at_s = time.monotonic()
        self._shown_at_s = 0.0

    def drive(self) -> RunFolder:
        """Start, watch, and wait for the archive. Raises `UsageError` when it cannot start, `PlatformError` later."""
        with self._client:
            earlier = self._ask_first().run
            self._start()
            folder = RunFolder(self._settings.results / self._run_after(earlier))
            self._view.note(f"run {folder.run} in the stack at {self._settings.stack_url}")
            self._await_end(folder)
            self._await_archive(folder)
            return folder

    def _ask_first(self) -> RunStatus:
        try:
            answer = self._client.get("/loadstone/runs")
        except httpx.HTTPError as error:
            raise UsageError(
                f"no stack answers at {self._settings.stack_url}: {error}",
                hint="Start it with `docker compose up`, or name its Locust web UI with --stack-url",
            ) from error
        try:
            return msgspec.json.decode(answer.raise_for_status().content, type=RunStatus)
        except (httpx.HTTPStatusError, ValueError) as error:
            raise UsageError(
                f"{self._settings.stack_url} is not a loadstone stack: HTTP {answer.status_code} from /loadstone/runs",
                hint="Name the stack's Locust web UI with --stack-url",
            ) from error

    def _start(self) -> None:
        """Workers are away for Locust's stop-timeout after each run, and for a moment after the stack came up."""
        request, deadline = self._request(), time.monotonic() + _WORKERS_WITHIN_S
        answer = self._client.post("/loadstone/runs", json=request)
        while answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
            answer = self._client.post("/loadstone/runs", json=request)
        if answer.status_code == HTTPStatus.ACCEPTED:
            return
        try:
            problems = "; ".join(answer.json()["problems"])
        except (ValueError, KeyError):
            problems = answer.text[:200]
        raise UsageError(f"the stack starts no run: {problems}")

    def _request(self) -> dict[str, object]:
        settings = self._settings
        return {
            "users": settings.users,
            "spawn_rate": settings.spawn_rate,
            "host": settings.host,
            "run_time": self._run_time_s(),
            "steady_state": settings.steady_state,
            "warmup": settings.warmup,
            "objective": list(settings.objective),
            "seed": settings.seed,
            "launch": uuid.uuid4().hex,
        }

    def _run_after(self, earlier: str | None) -> str:
        deadline = time.monotonic() + _FOLDER_WITHIN_S
        while time.monotonic() < deadline:
            status = self._ask()
            if status and status.run not in {None, earlier}:
                return str(status.run)
            time.sleep(_LOOK_EVERY_S)
        raise PlatformError("the stack's master accepted the run and did not start it; see its log")

    def _await_end(self, folder: RunFolder) -> None:
        """Until the master says that it is over, or the archive has been closed without it."""
        stopped = False
        while not folder.is_closed:
            status = self._ask()
            if status:
                self._show(status)
                if status.run != folder.run or status.state not in _GOING_ON:
                    return
            elif time.monotonic() - self._answered_at_s > _MASTER_AWAY_S:
                return  # the archive closes without a master too, and says so
            if self._interrupted() and not stopped:
                stopped = self._stop()
            time.sleep(_LOOK_EVERY_S)

    def _stop(self) -> bool:
        self._view.note("stopping: requests in flight may finish")
        try:
            return self._client.post("/loadstone/stop").is_success
        except httpx.HTTPError:
            return False

    def _await_archive(self, folder: RunFolder) -> None:
        begun = time.monotonic()
        while not folder.is_closed:
            waited_s = time.monotonic() - begun
            if waited_s > _FOLDER_WITHIN_S and not folder.path.is_dir():
                raise PlatformError(
                    f"run {folder.run} does not appear in {self._settings.results}",
                    hint="Name the stack's RESULTS_FOLDER with --results; the run itself is archived there",
                )
            if waited_s > _CLOSES_WITHIN_S:
                raise PlatformError(f"run {folder.run} was not archived within {_CLOSES_WITHIN_S:.0f} s")
            time.sleep(_LOOK_EVERY_S)

    def _ask(self) -> RunStatus | None:
        try:
            answer = self._client.get("/loadstone/runs").raise_for_status()
            status = msgspec.json.decode(answer.content, type=RunStatus)
        except (httpx.HTTPError, ValueError):
            return None
        self._answered_at_s = time.monotonic()
        return status

    def _show(self, status: RunStatus) -> None:
        if status.live and status.live.run == status.run:
            settings = self._settings
            steady_s = None if settings.steady_state is None else settings.warmup + settings.steady_state
            self._view.show(status.live, status.live.left_s(self._run_time_s(), steady_s))
            return
        now_s = time.monotonic()
        if now_s - self._shown_at_s >= _SHOW_EVERY_S:
            self._shown_at_s = now_s
            self._view.note(f"{status.workers} workers  {status.users} users")

    def _run_time_s(self) -> float | None:
        settings = self._settings
        timed = settings.run_time is not None or settings.steady_state is not None
        return settings.run_time if timed else _DEFAULT_RUN_TIME_S
