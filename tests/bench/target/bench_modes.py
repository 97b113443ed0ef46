"""CPU time per request of the three serving modes, side by side in interleaved rounds; prints medians and spread.

    bench_modes.py [--rounds 5] [--seconds 3] [--users 50]

Trains the sample model (a forest of 100 trees, 10 features) in a temporary registry. All targets run the whole time,
and each round loads them one after the other, so that other work on the machine affects all of them equally.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
for _folder in ("target", "tests/bench/target", "tests/processes/target"):
    sys.path.insert(0, str(ROOT / _folder))

from target_helpers import TargetProcess, run_command, running  # noqa: E402 - the folder is on the path only now

MODES = ("naive", "batched", "compiled")


def main() -> None:
    """Measure and print two Markdown tables."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        assert run_command("train", folder).returncode == 0
        targets = {mode: stack.enter_context(running(folder, TARGET_MODE=mode)) for mode in MODES}
        rounds = [{mode: _load(targets[mode], options) for mode in MODES} for _ in range(options.rounds)]
    _print_modes(rounds)
    _print_ratios(rounds)


def _print_modes(rounds: list[dict[str, dict[str, Any]]]) -> None:
    print("| mode | CPU ms/request (median, min to max) | requests/s | mean ms | p95 ms | RSS MB | failed |")
    print("|---|---|---|---|---|---|---|")
    for mode in MODES:
        of_mode = [one[mode] for one in rounds]
        cpu = [one["cpu_ms"] for one in of_mode]
        rate = statistics.median(one["answered"] / one["seconds"] for one in of_mode)
        mean, p95, rss = (statistics.median(one[name] for one in of_mode) for name in ("mean_ms", "p95_ms", "rss_mb"))
        failed = sum(one["failed"] for one in of_mode)
        print(f"| {mode} | {_spread(cpu)} | {rate:.0f} | {mean:.1f} | {p95:.1f} | {rss:.0f} | {failed} |")


def _print_ratios(rounds: list[dict[str, dict[str, Any]]]) -> None:
    print("\n| compared | times less CPU than naive (median, min to max) |")
    print("|---|---|")
    for mode in MODES[1:]:
        print(f"| {mode} | {_spread([one['naive']['cpu_ms'] / one[mode]['cpu_ms'] for one in rounds])} |")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def _load(target: TargetProcess, options: argparse.Namespace) -> dict[str, Any]:
    plan = {
        "port": target.port,
        "users": options.users,
        "seconds": options.seconds,
        "warmup_s": 0.5,
        "pids": [target.process.pid],
        "bodies": [json.dumps({"inputs": row}) for row in target.get("/info").json()["input_example"]],
    }
    command = [sys.executable, str(Path(__file__).with_name("load.py"))]
    done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--users", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    main()
