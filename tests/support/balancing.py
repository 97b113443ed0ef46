"""A real HAProxy, and a stand-in for Docker's DNS: one name with many addresses."""

from __future__ import annotations

import csv
import os
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_A, _OPT_OFF = 1, 12
PATIENCE_S = 30.0


class Names:
    """A DNS server (RFC 1035) that answers queries for A records with ``addresses``, and others with nothing."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while True:
            try:
                question, client = self._socket.recvfrom(4096)
            except OSError:
                return
            if question == b"stop":
                return
            self._socket.sendto(_answer_to(question, self.addresses), client)

    def close(self) -> None:
        self._socket.sendto(b"stop", ("127.0.0.1", self.port))
        self._thread.join(PATIENCE_S)
        self._socket.close()


def _answer_to(question: bytes, addresses: list[str]) -> bytes:
    end = question.index(b"\0", _OPT_OFF) + 5  # the name's last label, then type and class
    kind = struct.unpack("!H", question[end - 4 : end - 2])[0]
    found = addresses if kind == _A else []
    head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
    records = [struct.pack("!HHHIH", 0xC00C, _A, 1, 1, 4) + socket.inet_aton(address) for address in found]
    return head + question[_OPT_OFF:end] + b"".join(records)


class Balancer:
    """A real HAProxy with the project's configuration."""

    def __init__(self, program: Path, configuration: Path, target: str, names: Names, **settings: str) -> None:
        self.port, self.static_port, self._stats_port = free_port(), free_port(), free_port()
        environment = {
            **os.environ,
            "BALANCER_BIND": f"127.0.0.1:{self.port}",
            "BALANCER_STATIC_BIND": f"127.0.0.1:{self.static_port}",
            "BALANCER_STATS_BIND": f"127.0.0.1:{self._stats_port}",
            "BALANCER_TARGET": target,
            "BALANCER_DNS": f"127.0.0.1:{names.port}",
            "BALANCER_MAXCONN": "4000",  # the default needs more file descriptors than some machines allow
            **settings,
        }
        self.process = subprocess.Popen([str(program), "-db", "-f", str(configuration)], env=environment)

    def replicas(self) -> list[dict[str, str]]:
        """Return the statistics of every replica with an address."""
        text = httpx.get(f"http://127.0.0.1:{self._stats_port}/stats;csv").text
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        named = [row for row in rows if row["pxname"] == "replicas" and row["svname"].startswith("replica-")]
        return [row for row in named if not row["status"].startswith("MAINT")]

    def statuses(self) -> list[str]:
        try:
            return sorted(row["status"] for row in self.replicas())
        except httpx.HTTPError:
            return []

    def retries(self) -> int:
        text = httpx.get(f"http://127.0.0.1:{self._stats_port}/stats;csv").text
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return sum(int(row["wretr"] or 0) + int(row["wredis"] or 0) for row in rows if row["svname"] == "BACKEND")

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self._stats_port}/metrics").text

    def wait_for(self, statuses: list[str]) -> None:
        """Wait until the replicas have these states, such as UP and NOLB."""
        end_s = time.monotonic() + PATIENCE_S
        while self.statuses() != statuses:
            assert time.monotonic() < end_s, f"{self.statuses()} never became {statuses}"
            assert self.process.poll() is None, "the balancer ended"
            time.sleep(0.1)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def balanced(program: Path, configuration: Path, target: str, **settings: str) -> Iterator[tuple[Balancer, Names]]:
    """A balancer and its name server, which are both stopped afterwards."""
    names = Names()
    balancer = Balancer(program, configuration, target, names, **settings)
    try:
        yield balancer, names
    finally:
        balancer.close()
        names.close()
