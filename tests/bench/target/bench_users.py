"""The number of users that one target serves under CPU and memory limits, directly or through the balancer.

    bench_users.py --registry URI [--python PATH] [--haproxy PATH] MODE:USERS:CORES:MIB ...

``--python`` may be the Python of an environment without training libraries. Limits need root. Prints one row per case.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

ROOT = Path(__file__).parents[3]
for _folder in ("target", "tests", "tests/bench/target"):
    sys.path.insert(0, str(ROOT / _folder))

from box import Box, boxed  # noqa: E402 - the folder is on the path only now

if TYPE_CHECKING:
    from collections.abc import Iterator

THINK_S = (1.0, 3.0)
START_S = 90.0


COLUMNS = (
    "mode", "path", "users", "CPU limit", "memory limit MiB", "answered/s", "failed", "mean ms", "p95 ms", "max ms",
    "CPU used", "CPU ms/request", "peak MB", "anonymous MB", "killed", "throttled s",
)  # fmt: skip


def main() -> None:
    """Measure each case and print its row."""
    options = _options()
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for case in options.cases:
        mode, users, cores, memory = case.split(":")
        path = "balancer" if options.haproxy else "direct"
        measured = _measure(options, mode, int(users), float(cores) or None, int(memory) or None)
        row = [mode, path, users, cores, memory, *measured]
        print(f"| {' | '.join(row)} |", flush=True)


def _measure(
    options: argparse.Namespace, mode: str, users: int, cores: float | None, memory_mb: int | None
) -> list[str]:
    with ExitStack() as stack:
        box = stack.enter_context(boxed(mode, cores=cores, memory_mb=memory_mb))
        process, port = stack.enter_context(_target(options, mode, box))
        if not _ready(port, process):
            return ["does not start", *[""] * 7, f"{box.peak_mb():.0f}", "", str(box.killed()), ""]
        entry = stack.enter_context(_balancer(options, port)) if options.haproxy else port
        return _cells(_drive(options, entry, port, process.pid, users), box)


def _cells(result: dict[str, Any], box: Box) -> list[str]:
    share = result["failed"] / max(1, result["answered"] + result["failed"])
    return [
        f"{result['in_time'] / result['seconds']:.0f}",
        f"{share:.1%} {_others(result)}",
        *(f"{result[name]:.1f}" for name in ("mean_ms", "p95_ms", "max_ms")),
        f"{result['cpu_s'] / result['seconds']:.2f}",
        f"{result['cpu_ms']:.3f}",
        f"{box.peak_mb():.0f}",
        f"{box.anonymous_mb():.0f}",
        str(box.killed()),
        f"{box.throttled_s():.1f}",
    ]


def _others(result: dict[str, Any]) -> str:
    others = {status: count for status, count in result["statuses"].items() if status != "200"}
    if result["unanswered"]:
        others["unanswered"] = result["unanswered"]
    return "(" + ", ".join(f"{status}: {count}" for status, count in others.items()) + ") " if others else ""


@contextmanager
def _target(options: argparse.Namespace, mode: str, box: Box) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = _free_port()
    settings = {"MLFLOW_TRACKING_URI": options.registry, "TARGET_MODE": mode, "TARGET_PORT": str(port)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "target"), "MODEL_URI": options.model, **settings}
    python = options.python if mode in {"auto", "compiled"} else sys.executable
    process = subprocess.Popen(
        [python, "-m", "inference", "serve"],
        env=environment,
        text=True,
        stderr=subprocess.DEVNULL,
        preexec_fn=box.enter,  # noqa: PLW1509 - this program has one thread
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


@contextmanager
def _balancer(options: argparse.Namespace, port: int) -> Iterator[int]:
    from support.balancing import Balancer, Names  # only when a balancer is asked for

    names = Names()
    names.addresses = ["127.0.0.1"]
    configuration = ROOT / "target" / "balancer" / "haproxy.cfg"
    settings = {"BALANCER_MAXCONN": str(options.maxconn), "BALANCER_REPLAY": "off"}
    balancer = Balancer(Path(options.haproxy), configuration, f"target.test:{port}", names, **settings)
    try:
        balancer.wait_for(["UP"])
        yield balancer.port
    finally:
        balancer.close()
        names.close()


def _drive(options: argparse.Namespace, entry: int, port: int, pid: int, users: int) -> dict[str, Any]:
    example = httpx.get(f"http://127.0.0.1:{port}/info", timeout=30).json()["input_example"]
    plan = {
        "port": entry,
        "users": users,
        "seconds": options.seconds,
        "warmup_s": 4.0,
        "think_s": THINK_S,
        "pids": [pid],
        "bodies": [json.dumps({"inputs": row}) for row in example],
        "patience_s": options.patience,
    }
    command = [sys.executable, str(Path(__file__).with_name("load.py"))]
    done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _ready(port: int, process: subprocess.Popen[str]) -> bool:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ready").status_code == httpx.codes.OK:
                return True
        except httpx.HTTPError:
            pass  # not listening yet
        time.sleep(0.2)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", metavar="MODE:USERS:CORES:MIB", help="0 for no limit")
    parser.add_argument("--registry", required=True)
    parser.add_argument("--model", default="models:/diabetes@champion")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the compiled target")
    parser.add_argument("--haproxy", help="put this HAProxy in front")
    parser.add_argument("--maxconn", type=int, default=9000)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--patience", type=float, default=20.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
