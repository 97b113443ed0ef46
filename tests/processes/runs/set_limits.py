"""Stands for `--apply` and `--restore`: sets how many connections the counting server lets in, 20 for each core.

    set_limits.py URL LOG [restore]

What it was told is a line of the log.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path

PER_CORE = 20
BEFORE = 1000


def main(url: str, log: str, *words: str) -> None:
    """Set the limits, and report what holds as the command's last line."""
    restores = "restore" in words
    told = {name: os.environ.get(name, "") for name in ("CPU", "MEMORY", "REPLICAS")}
    cpu, replicas = (0.0, 0) if restores else (float(told["CPU"]), int(told["REPLICAS"]))
    with Path(log).open("a") as file:
        file.write(f"{'restore' if restores else '{CPU} {MEMORY} {REPLICAS}'.format(**told)}\n")
    most = BEFORE if restores else PER_CORE * cpu * replicas
    body = json.dumps({"most": most}).encode()
    urllib.request.urlopen(f"{url}/__settings__", body, timeout=10).close()
    if not restores:
        held = {"cpu": cpu if "lie" not in words else cpu / 2, "memory": told["MEMORY"], "replicas": replicas}
        print(json.dumps(held))


if __name__ == "__main__":
    main(*sys.argv[1:])
