"""Doubles of cAdvisor 0.60.5 and of the Docker Engine, which give what the tests say about containers.

They answer in the forms that the real ones were seen to have: cAdvisor with ``--docker_only`` hides containers whose
names it cannot learn, so that only the root group is left; after a restart its counters begin at zero under the same
id, and a reading can lack the container or its limits. The engine tells an out-of-memory kill as an event, at once to
whoever listens and later to whoever asks for the time since, as long as it is among the newest 256.
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from support.processes import free_port
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PROJECT", "CadvisorDouble", "Container", "EngineDouble"]

PROJECT: Final = "loadstone"
HIDDEN: Final = Path(__file__).parents[1] / "processes" / "usage" / "cadvisor" / "hidden.txt"
"""All that the real cAdvisor gave of containers when it could not reach the engine."""
_REMEMBERED: Final = 256


@dataclass(slots=True)
class Container:
    """One container of a compose project and its counters; ``restart`` gives it a new control group."""

    service: str = "target"
    number: int = 1
    id: str = "a1" * 32
    cpu_s: float = 10.0
    oom: int = 0
    started_s: float = 100.0
    mem_bytes: int = 1000
    mem_limit: int | None = 4000
    is_up: bool = True

    def restart(self) -> None:
        """The same container with counters from zero."""
        self.cpu_s, self.oom, self.started_s, self.is_up = 0.0, 0, self.started_s + 1, True

    @property
    def labels(self) -> dict[str, str]:
        """What compose writes on it."""
        named = {"project": PROJECT, "service": self.service, "container-number": str(self.number)}
        return {f"com.docker.compose.{key}": value for key, value in named.items()}


class CadvisorDouble:
    """cAdvisor on a port. ``knows_names``: it reaches the engine. ``age_s``: how old its values are."""

    def __init__(self, *containers: Container) -> None:
        self.containers = list(containers)
        self.knows_names = True
        self.stands_still_ns: int | None = None
        self.url = f"http://127.0.0.1:{free_port()}"

    def text(self) -> str:
        """The page /metrics."""
        at_ms = (self.stands_still_ns or time.time_ns()) // 1_000_000
        seen = [each for each in self.containers if each.is_up] if self.knows_names else []
        return HIDDEN.read_text() + "".join(self._text_of(each, at_ms) for each in seen)

    def _text_of(self, each: Container, at_ms: int) -> str:
        labels = [
            f'container_label_{key.replace(".", "_").replace("-", "_")}="{text}"' for key, text in each.labels.items()
        ]
        common = ",".join([*labels, f'id="/docker/{each.id}"', 'image="i"', f'name="p-{each.service}-{each.number}"'])
        timed = {
            "cpu_usage_seconds_total": each.cpu_s,
            "memory_working_set_bytes": each.mem_bytes,
            "oom_events_total": each.oom,
        }
        specs = {"spec_cpu_period": 100_000, "start_time_seconds": each.started_s}
        if each.mem_limit is not None:
            specs["spec_memory_limit_bytes"] = each.mem_limit
        lines = [f"container_{name}{{{common}}} {value} {at_ms}" for name, value in timed.items()]
        return "\n".join([*lines, *(f"container_{name}{{{common}}} {value}" for name, value in specs.items()), ""])

    @contextmanager
    def running(self) -> Iterator[CadvisorDouble]:
        """Answer until the context ends."""
        double = self

        class Handler(_Quiet):
            def do_GET(self) -> None:
                self.answer(double.text().encode())

        with serving(socketserver.ThreadingTCPServer(("127.0.0.1", urlsplit(self.url).port or 0), Handler)):
            yield self


@dataclass(slots=True)
class EngineDouble:
    """The Docker Engine behind a socket. ``delay_s``: how long it takes for the figures of one container.

    ``silent``: so many listeners are welcomed and cut off before they are told anything.
    """

    socket: Path
    containers: list[Container] = field(default_factory=list)
    delay_s: float = 0.0
    told: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    listeners: int = 0
    silent: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False
    _cuts: int = 0

    def kill(self, container: Container) -> None:
        """Tell an out-of-memory kill of one container."""
        container.oom += 1
        self.tell(container, "oom")

    def tell(self, container: Container, action: str, **attributes: str) -> None:
        """Tell an event of one container."""
        about = {"ID": container.id, "Attributes": {**container.labels, "image": "i", "name": "p", **attributes}}
        event = {"status": action, "Type": "container", "Action": action, "Actor": about, "timeNano": time.time_ns()}
        with self._changed:
            self.told.append(event)
            self._changed.notify_all()

    def cut_listeners(self) -> None:
        """End every connection that waits for events, as a proxy's time-out does."""
        with self._changed:
            self._cuts += 1
            self._changed.notify_all()

    @contextmanager
    def running(self) -> Iterator[EngineDouble]:
        """Answer until the context ends."""
        double = self

        class Handler(_Quiet):
            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                if asked.path.endswith("/events"):
                    self.begin()
                    double._tell(self, float(parse_qs(asked.query)["since"][0]))
                else:
                    self.answer(json.dumps(double._answer(asked.path)).encode())

        with ExitStack() as stack:
            stack.enter_context(serving(socketserver.ThreadingUnixStreamServer(str(self.socket), Handler)))
            stack.callback(self._end)
            yield self

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _answer(self, path: str) -> Any:
        up = [each for each in self.containers if each.is_up]
        if path.endswith("/containers/json"):
            return [{"Id": each.id, "Labels": each.labels} for each in up]
        (container,) = [each for each in self.containers if each.id in path]
        if path.endswith("/json"):
            return {"HostConfig": {"Memory": container.mem_limit or 0}}
        time.sleep(self.delay_s)
        cpu = {"cpu_usage": {"total_usage": int(container.cpu_s * 1e9)}, "throttling_data": {}}
        return {"cpu_stats": cpu, "memory_stats": {"usage": container.mem_bytes, "stats": {}}}

    def _tell(self, handler: _Quiet, since_s: float) -> None:
        told, cuts = set[int](), self._cuts
        with self._changed:
            if self.silent:
                self.silent -= 1
                return
            self.listeners += 1
            while not self._ended and self._cuts == cuts:
                for event in [each for each in self.told if each["timeNano"] >= since_s * 1e9]:
                    if event["timeNano"] not in told:
                        told.add(event["timeNano"])
                        handler.wfile.write(json.dumps(event).encode() + b"\n")
                handler.wfile.flush()
                self._changed.wait(5)
            self.listeners -= 1


class _Quiet(BaseHTTPRequestHandler):
    def begin(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()

    def answer(self, body: bytes) -> None:
        self.begin()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...

    def address_string(self) -> str:
        return "client"
