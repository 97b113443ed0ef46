"""Whether a machine has room for all limits that a study may give, beside the generator of the load."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil

from loadstone.domain.units import MIB
from loadstone.errors import UsageError
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Collection

    from loadstone.rig.rig import Setting

__all__ = ["check_cpuset", "check_room", "check_room_here"]


def check_room(settings: Collection[Setting], *, host_cores: float, host_mem_bytes: int, kept_cores: float) -> None:
    """Raise `UsageError`, with what would fit, if a setting needs more than the machine has.

    ``kept_cores`` are left for the generator. Limits above the rest would never be reached, so a trial under them
    would say nothing of them.
    """
    free = max(host_cores - kept_cores, 0.0)
    largest = max(settings, key=lambda each: each.cpu_cores * each.replicas)
    if (needed := largest.cpu_cores * largest.replicas) > free:
        kept = f", of which {_cores(kept_cores)} kept for the load" if kept_cores else ""
        raise UsageError(
            f"{_needs(largest, needed)}, and this machine has {host_cores:g}{kept}",
            hint=_what_fits(free, largest.replicas),
        )
    largest = max(settings, key=lambda each: each.mem_bytes * each.replicas)
    if (memory := largest.mem_bytes * largest.replicas) > host_mem_bytes:
        raise UsageError(
            f"{largest.replicas} x {memory_text(largest.mem_bytes)} are {memory_text(memory)} of memory, and this"
            f" machine has {host_mem_bytes // MIB}m",
            hint=f"{host_mem_bytes // largest.replicas // MIB}m {_for_each(largest.replicas)} would fit",
        )


def check_cpuset(settings: Collection[Setting], cpuset: str) -> None:
    """Raise `UsageError`, with what would fit, if a setting needs more than these CPUs, such as "0-2,5".

    A target that may use no others would wait for them however large its limits are.
    """
    cores = sum(int(last or first) - int(first) + 1 for first, _, last in (p.partition("-") for p in cpuset.split(",")))
    largest = max(settings, key=lambda each: each.cpu_cores * each.replicas)
    if (needed := largest.cpu_cores * largest.replicas) > cores:
        raise UsageError(
            f"{_needs(largest, needed)}, and its cpuset {cpuset} has {cores}", hint=_what_fits(cores, largest.replicas)
        )


def check_room_here(settings: Collection[Setting], kept_cores: float) -> None:
    """Whether this machine has room for them, see `check_room`."""
    memory = psutil.virtual_memory().total
    check_room(settings, host_cores=os.cpu_count() or 1, host_mem_bytes=memory, kept_cores=kept_cores)


def _needs(setting: Setting, cores: float) -> str:
    return f"{setting.replicas} x {setting.cpu_cores:g} CPU are {cores:g} cores"


def _what_fits(free: float, replicas: int) -> str:
    each = int(100 * free / replicas) / 100
    if each == 0:
        return "Keep fewer cores for the load, or use a larger machine"
    return f"{each:g} CPU {_for_each(replicas)} would fit"


def _for_each(replicas: int) -> str:
    return f"for each of {replicas} replicas" if replicas > 1 else "for one replica"


def _cores(count: float) -> str:
    return f"{count:g} {'is' if count <= 1 else 'are'}"
