"""Load generators that the benchmarks compare: each sends the same request and says what that cost in CPU time.

Python classes measure themselves after a warm-up (tests/bench/lean/generate.py). The others are programs: their CPU
time and requests are the difference between a longer and a shorter run, so that starting them does not count.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATE: Final = Path(__file__).parents[1] / "bench" / "lean" / "generate.py"
TESTS: Final = Path(__file__).parents[1]
SOURCE: Final = TESTS.parent / "src"
BODY: Final = '{"inputs": [[5.1, 3.5, 1.4, 0.2, 6.7, 3.1]], "model": "forest", "id": "7f3a9c1e5b2d4a68", "v": 1234}'
USERS: Final = 50
SHORT_S: Final = 1
LONG_S: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run of a generator cost."""

    requests: int
    cpu_s: float
    rps: float = 0.0

    @property
    def per_cpu_s(self) -> float:
        """Requests for each second of CPU time."""
        return self.requests / self.cpu_s


def generate(name: str, url: str, *options: str, core: int, seconds: float, users: int = USERS) -> dict[str, Any]:
    """Run one Locust class in a process of its own; give what it printed."""
    command = ["taskset", "-c", str(core), sys.executable, str(GENERATE), name, url, str(seconds), str(users), *options]
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{TESTS}"}
    environment.pop("LOCUST_SKIP_MONKEY_PATCH", None)
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


def python_class(name: str, *options: str) -> Callable[[str, int], Cost]:
    """Give a contender: one of Locust's classes or ours, with Locust's statistics and loadstone's recorder on."""

    def run(url: str, core: int) -> Cost:
        printed = generate(name, url, "--recorder", *options, core=core, seconds=2)
        assert printed["failures"] == 0, printed
        return Cost(requests=printed["requests"], cpu_s=printed["cpu_s"], rps=printed["rps"])

    return run


def program(make: Callable[[str, int], list[str]], requests: Callable[[str], int]) -> Callable[[str, int], Cost]:
    """Give a contender: a program whose command `make` gives for a URL and seconds, its output read by `requests`."""

    def once(url: str, core: int, seconds: int) -> Cost:
        before = os.times()
        command = ["taskset", "-c", str(core), *make(url, seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        return Cost(requests=requests(done.stdout), cpu_s=cpu_s)

    def run(url: str, core: int) -> Cost:
        short, long = once(url, core, SHORT_S), once(url, core, LONG_S)
        count = long.requests - short.requests
        return Cost(requests=count, cpu_s=long.cpu_s - short.cpu_s, rps=count / (LONG_S - SHORT_S))

    return run


def wrk(binary: Path, folder: Path) -> Callable[[str, int], Cost]:
    """Give wrk (C): the limit of what one core can do."""
    script = folder / "post.lua"
    script.write_text(f"wrk.method='POST'\nwrk.body='{BODY}'\nwrk.headers['Content-Type']='application/json'\n")

    def command(url: str, seconds: int) -> list[str]:
        return [str(binary), "-t1", f"-c{USERS}", f"-d{seconds}s", "-s", str(script), f"{url}/predict"]

    return program(command, lambda output: int(found_in(r"(\d+) requests in", output)))


def hey(binary: Path) -> Callable[[str, int], Cost]:
    """Give hey (Go)."""

    def command(url: str, seconds: int) -> list[str]:
        options = ["-z", f"{seconds}s", "-c", str(USERS), "-cpus", "1", "-m", "POST", "-T", "application/json"]
        return [str(binary), *options, "-d", BODY, f"{url}/predict"]

    return program(command, lambda output: int(found_in(r"\[200\]\s+(\d+) responses", output)))


def autocannon(binary: Path) -> Callable[[str, int], Cost]:
    """Give autocannon (Node)."""

    def command(url: str, seconds: int) -> list[str]:
        options = ["--json", "-c", str(USERS), "-d", str(seconds), "-m", "POST", "-H", "content-type=application/json"]
        return [str(binary), *options, "-b", BODY, f"{url}/predict"]

    return program(command, lambda output: int(json.loads(output)["2xx"]))


def aiolocust(binary: Path, folder: Path) -> Callable[[str, int], Cost]:
    """Give aiolocust (Python, asyncio), with one event loop."""
    scenario, report = folder / "aio.py", folder / "aio.json"
    scenario.write_text(
        "import json\nfrom aiolocust import HttpUser\n"
        f"BODY = json.loads({BODY!r})\n"
        "async def run(user: HttpUser):\n"
        "    async with user.client.post('/predict', json=BODY) as response:\n"
        "        await response.read()\n"
    )

    def command(url: str, seconds: int) -> list[str]:
        options = ["-u", str(USERS), "-d", str(seconds), "-r", "1000", "-H", url, "--event-loops", "1"]
        return [str(binary), str(scenario), *options, "--json-report", str(report)]

    return program(command, lambda _: sum_of_counts(json.loads(report.read_text())))


def sum_of_counts(report: dict[str, Any]) -> int:
    """Give the number of requests in a JSON report of aiolocust."""
    return int(report["total"]["count"])


def found_in(pattern: str, output: str) -> str:
    """Give the first group of ``pattern`` in a program's output; AssertionError with the output if it is not there."""
    found = re.search(pattern, output)
    assert found, output
    return found[1]
