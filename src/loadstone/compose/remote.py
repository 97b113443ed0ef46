"""StackRun: one run in a compose stack that is up, driven through its master's HTTP API from start to archive."""

from __future__ import annotations

import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from loadstone.archive.folder import RunFolder
from loadstone.domain.live import KEEP_FROM_CLOSING, RunStatus
from loadstone.domain.masking import mask_secrets
from loadstone.domain.objective import parse_objectives
from loadstone.errors import PlatformError, UsageError
from loadstone.host.clock import SYSTEM_CLOCK
from loadstone.settings import RunRequest, RunSettings, load, read_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadstone.domain.live import LiveSnapshot
    from loadstone.domain.time import Clock
    from loadstone.report.live_view import View

__all__ = ["StackRun", "check_fits_stack"]

_LOOK_EVERY_S: Final = 0.5
_REASON_LIMIT: Final = 500
_SHOW_EVERY_S: Final = 5.0
_MASTER_AWAY_S: Final = 60.0
_WORKERS_WITHIN_S: Final = 60.0
_FOLDER_WITHIN_S: Final = 30.0
_SPAWNS_WITHIN_S: Final = 30.0
"""A run has its id before its first user; one that is never seen in progress was too short for that."""
_CLOSES_WITHIN_S: Final = 900.0
_REPORT_WITHIN_S: Final = 20.0
_REFUSED_FOR_S: Final = 10.0
"""How long a run that has ended waits for a disk that takes nothing."""
_IN_PROGRESS: Final = frozenset({"spawning", "running", "cleanup", "stopping"})
_NOT_ALLOWED: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED, HTTPStatus.FOUND})
_LOGIN_CURE: Final = (
    "Name a file with the master's control token with --stack-token-file: in the stack it is there already, as with"
    " `docker compose run --rm cli run ...`"
)
_NOT_FOR_STACKS: Final = {
    "locustfile": "Set SCENARIO_FOLDER and SCENARIO of the stack",
    "tags": "Select the tasks in the scenario",
    "exclude_tags": "Select the tasks in the scenario",
    "target_pid": "The stack records every container",
    "redis_url": "The stack has its own Redis",
    "influx_url": "The stack has its own InfluxDB",
    "workers": "Scale the stack: docker compose up -d --scale locust-worker=N",
    "stop_timeout": "Set stop-timeout in the stack's locust-master/locust.conf",
    "import_timeout": "The stack has loaded its scenario already",
    "allowed_hosts": "Set ALLOWED_HOSTS of the stack",
    **dict.fromkeys(("bind", "master_port", "web_port", "live_port"), "The stack has addresses of its own"),
    **dict.fromkeys(("demo_port", "demo_model", "demo_registry"), "The stack has a target of its own"),
}
"""Options without effect there, and what to do instead."""


class _Refusal(msgspec.Struct, frozen=True):
    """The answer of the master when it starts no run."""

    problems: tuple[str, ...]


def check_fits_stack(settings: RunSettings, arguments: tuple[str, ...], where: str = "with --stack") -> None:
    """Raise `UsageError` for options that apply only to a run on this machine, and so not ``where`` this one is."""
    parse_objectives(settings.objective)
    usual = load(RunSettings, environ={})
    for name, cure in _NOT_FOR_STACKS.items():
        if getattr(settings, name) != getattr(usual, name):
            raise UsageError(f"--{name.replace('_', '-')} cannot be used {where}", hint=cure)
    if arguments:
        raise UsageError(f"{' '.join(arguments)} cannot be used {where}", hint="Set it in the stack's scenario")


def _credentials(settings: RunSettings) -> dict[str, str]:
    """What the master asks of whoever changes something: that it knows the master's address, and the token if given."""
    address = urlsplit(settings.stack_url)
    origin = {"Origin": f"{address.scheme}://{address.netloc.rpartition('@')[2]}"}
    token = read_token(settings.stack_token_file, "control token", "--stack-token-file")
    return {**origin, "Authorization": f"Bearer {token}"} if token else origin


class _GivenUpError(Exception):
    """The user does not want to wait any longer; the text says what becomes of the run."""


class StackRun:
    """One run. ``stop_requests()`` counts how often the user asked to stop: first the run, then the waiting for it.

    ``limits`` and ``target``, JSON objects, stand in run.json in place of what the master was told when it started, and
    ``exit_code_on_error`` is that of a run in which requests failed.
    """

    def __init__(
        self,
        settings: RunSettings,
        view: View,
        stop_requests: Callable[[], int],
        *,
        limits: Mapping[str, Any] | None = None,
        target: Mapping[str, Any] | None = None,
        exit_code_on_error: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._view = view
        self._limits, self._target, self._exit_code_on_error = limits, target, exit_code_on_error
        self._stop_requests = stop_requests
        self._client = httpx.Client(
            base_url=settings.stack_url, timeout=10, trust_env=False, headers=_credentials(settings)
        )
        self._clock = clock
        self._sleep = sleep
        self._answered_at_s = clock.monotonic_s()
        self._shown_at_s: float | None = None
        self._seen_in_progress = False
        self._shape: str | None = None
        """The arrival shape of the stack's scenario, which then decides how long the run is unless settings do."""

    def drive(self) -> RunFolder | None:
        """Start the run, follow it and wait for its archive; None when the user does not want to wait for that.

        Raises `UsageError` when it cannot start, `PlatformError` when it fails later.
        """
        with self._client:
            try:
                return self._drive()
            except _GivenUpError as given_up:
                self._view.note(str(given_up))
                return None

    def await_idle(self) -> None:
        """Instead of a run: wait for the end of one that is going on, or until the user asks to stop.

        Raises `UsageError` where no stack answers, `PlatformError` when it stops answering.
        """
        with self._client:
            first = self._first_status()
            if first.state in _IN_PROGRESS:
                self._view.note(f"run {first.run} is going on in the stack; its end is waited for")
            status: RunStatus | None = first
            while not self._stop_requests() and (status is None or status.state in _IN_PROGRESS):
                if self._clock.monotonic_s() - self._answered_at_s > _MASTER_AWAY_S:
                    raise PlatformError(
                        f"the stack's master at {self._settings.stack_url} stopped answering",
                        hint="See its log: docker compose logs locust-master",
                    )
                self._sleep(_LOOK_EVERY_S)
                status = self._status()

    def _drive(self) -> RunFolder:
        first = self._first_status()
        earlier, self._shape = first.run, first.arrival_shape
        self._refuse_two_models()
        self._start()
        folder = RunFolder(self._settings.results / self._run_after(earlier))
        self._view.note(mask_secrets(f"run {folder.run} in the stack at {self._settings.stack_url}"))
        self._await_end(folder)
        self._await_archive(folder)
        self._await_report(folder)
        return folder

    def _pause(self, outcome: str, *, allowed: int) -> None:
        """Sleep until the next look. Raises `_GivenUpError` after more than the ``allowed`` requests to stop."""
        if self._stop_requests() > allowed:
            raise _GivenUpError(outcome)
        self._sleep(_LOOK_EVERY_S)

    def _first_status(self) -> RunStatus:
        try:
            answer = self._client.get("/loadstone/runs")
        except httpx.HTTPError as error:
            raise UsageError(
                f"no compose stack answers at {self._settings.stack_url}: {error}",
                hint="Start it with `docker compose up`, or name its Locust web UI with --stack-url",
            ) from error
        if answer.status_code in _NOT_ALLOWED:
            raise UsageError(
                f"the stack's master at {self._settings.stack_url} does not answer: {_reason(answer)}", hint=_LOGIN_CURE
            )
        try:
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=RunStatus)
        except (httpx.HTTPStatusError, msgspec.MsgspecError) as error:
            raise UsageError(
                f"the server at {self._settings.stack_url} is not the Locust master of a compose stack"
                f" (/loadstone/runs answers with status {answer.status_code})",
                hint="Name the stack's Locust web UI with --stack-url",
            ) from error

    def _start(self) -> None:
        """Ask until a worker is there: none is for a moment after the stack starts, and for Locust's stop timeout."""
        request, deadline_s = msgspec.json.encode(self._request()), self._clock.monotonic_s() + _WORKERS_WITHIN_S
        answer = self._post_run(request)
        while answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and self._clock.monotonic_s() < deadline_s:
            self._pause("stopped before a worker had joined: no run was started", allowed=0)
            answer = self._post_run(request)
        if answer.status_code == HTTPStatus.ACCEPTED:
            return
        try:
            problems = "; ".join(msgspec.json.decode(answer.content, type=_Refusal).problems)
        except msgspec.MsgspecError:
            problems = f"status {answer.status_code}: {_reason(answer)}"
        raise UsageError(f"the stack did not start a run: {problems}")

    def _post_run(self, request: bytes) -> httpx.Response:
        try:
            return self._client.post("/loadstone/runs", content=request, headers={"Content-Type": "application/json"})
        except httpx.HTTPError as error:
            raise PlatformError(
                f"the stack's master at {self._settings.stack_url} stopped answering: {error}",
                hint="See its log: docker compose logs locust-master",
            ) from error

    def _request(self) -> RunRequest:
        settings = self._settings
        return RunRequest(
            users=settings.users,
            spawn_rate=settings.spawn_rate,
            host=settings.host,
            run_time=self._run_time_s,
            steady_state=settings.steady_state,
            warmup=settings.warmup,
            objective=settings.objective,
            seed=settings.seed,
            rate=settings.rate,
            arrivals=settings.arrivals,
            max_users=settings.max_users if self._shape else None,
            exit_code_on_error=self._exit_code_on_error,
            launch=uuid.uuid4().hex,
            limits=self._limits,
            target=self._target,
        )

    @property
    def _run_time_s(self) -> float | None:
        return self._settings.run_time if self._shape else self._settings.planned_run_time

    def _refuse_two_models(self) -> None:
        settings = self._settings
        if self._shape is None and settings.max_users is not None and not settings.rate:
            raise UsageError("--max-users belongs to --rate", hint="Name a rate: --rate 500/s")
        if self._shape is not None and "users" in settings.given:
            raise UsageError(
                f"--users {settings.users} and the arrival shape {self._shape} of the stack's scenario are two models",
                hint="Write --max-users for how many may be busy at once",
            )

    def _run_after(self, earlier: str | None) -> str:
        deadline_s = self._clock.monotonic_s() + _FOLDER_WITHIN_S
        while self._clock.monotonic_s() < deadline_s:
            status = self._status()
            if status and status.run and status.run != earlier:
                return status.run
            self._pause("the stack was asked for a run, which may still begin: see its web UI", allowed=1)
        raise PlatformError(
            f"the stack's master accepted the run but did not start it within {_FOLDER_WITHIN_S:.0f} s",
            hint="See its log: docker compose logs locust-master",
        )

    def _await_end(self, folder: RunFolder) -> None:
        """Wait until the master reports the end of the run, or the archive is closed without it."""
        stopped, begun_s = False, self._clock.monotonic_s()
        while not folder.is_closed:
            status = self._status()
            if status:
                self._show(folder.run, status)
                if self._has_ended(folder.run, status, self._clock.monotonic_s() - begun_s):
                    return
            elif self._clock.monotonic_s() - self._answered_at_s > _MASTER_AWAY_S:
                return  # the Aggregator closes a run without its master too, and records that
            if self._stop_requests() and not stopped:
                stopped = self._stop()
            self._pause(f"run {folder.run} is stopping; the stack archives it", allowed=1)

    def _has_ended(self, run: str, status: RunStatus, waited_s: float) -> bool:
        """Whether the master is done with a run, which is not in progress yet for a moment after it got its id."""
        if status.run != run:
            return True
        if status.state in _IN_PROGRESS:
            self._seen_in_progress = True
            return False
        return self._seen_in_progress or waited_s > _SPAWNS_WITHIN_S

    def _stop(self) -> bool:
        self._view.note("stopping: requests in flight may finish")
        try:
            return self._client.post("/loadstone/stop").is_success
        except httpx.HTTPError:
            return False

    def _await_archive(self, folder: RunFolder) -> None:
        begun_s, stop_requests = self._clock.monotonic_s(), self._stop_requests()
        refused_s: float | None = None
        outcome = f"run {folder.run} is still being archived: `{folder.command('show')}` shows it afterwards"
        while not folder.is_closed:
            waited_s = self._clock.monotonic_s() - begun_s
            if waited_s > _FOLDER_WITHIN_S and not folder.path.is_dir():
                raise PlatformError(
                    f"there is no folder of run {folder.run} in {self._settings.results}",
                    hint="Name the stack's RESULTS_FOLDER, where the run is archived, with --results",
                )
            if waited_s > _CLOSES_WITHIN_S:
                raise PlatformError(
                    f"run {folder.run} was not archived within {_CLOSES_WITHIN_S:.0f} s",
                    hint="See the log of the collector: docker compose logs collector",
                )
            refusal = self._refusal(folder)
            refused_s = (refused_s or self._clock.monotonic_s()) if refusal else None
            if refused_s is not None and self._clock.monotonic_s() - refused_s >= _REFUSED_FOR_S:
                raise PlatformError(
                    f"run {folder.run} is not archived: {refusal}",
                    hint="The stack keeps everything, and archives the run by itself once its disk takes it",
                )
            self._pause(outcome, allowed=stop_requests)

    def _await_report(self, folder: RunFolder) -> None:
        """Wait for the report, which is made after run.json, and may fail: the run is whole without it."""
        deadline_s, stop_requests = self._clock.monotonic_s() + _REPORT_WITHIN_S, self._stop_requests()
        while not folder.report.exists() and self._clock.monotonic_s() < deadline_s:
            if self._stop_requests() > stop_requests:
                return
            self._sleep(_LOOK_EVERY_S)

    def _refusal(self, folder: RunFolder) -> str:
        """Why the archive cannot be written; empty as far as it is known to be in order. What is known is shown too."""
        status = self._status()
        live = status.live if status else None
        if live is None or live.run != folder.run:
            return ""
        self._show_live(live)
        return next((trouble.text for trouble in live.troubles if trouble.part in KEEP_FROM_CLOSING), "")

    def _status(self) -> RunStatus | None:
        """What the master reports; None while it does not answer."""
        try:
            answer = self._client.get("/loadstone/runs").raise_for_status()
            status = msgspec.json.decode(answer.content, type=RunStatus)
        except (httpx.HTTPError, msgspec.MsgspecError):
            return None
        self._answered_at_s = self._clock.monotonic_s()
        return status

    def _show(self, run: str, status: RunStatus) -> None:
        if status.run != run:
            return
        if status.live and status.live.run == run:
            self._show_live(status.live)
            return
        now_s = self._clock.monotonic_s()
        if self._shown_at_s is None or now_s - self._shown_at_s >= _SHOW_EVERY_S:
            self._shown_at_s = now_s
            self._view.note(f"{status.workers} workers  {status.users} users")

    def _show_live(self, live: LiveSnapshot) -> None:
        settings = self._settings
        if live.warmup_s is None:
            live = msgspec.structs.replace(live, warmup_s=settings.warmup)
        self._view.warn(live.troubles)
        self._view.show(live, live.left_s(self._run_time_s, settings.steady_after_ramp))


def _reason(answer: httpx.Response) -> str:
    """Why the master refuses, in its own words where it has any."""
    if answer.is_redirect:
        return f"it asks for a login ({answer.headers.get('Location', '')})"
    return answer.text[:_REASON_LIMIT].strip()
