"""Whether the limits that hold are those that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadstone.rig.rig import LimitsDifferError, limits_text

if TYPE_CHECKING:
    from loadstone.rig.rig import Setting

__all__ = ["check_limits"]

_CORES_APART: Final = 0.01
"""Relative: quotas are whole microseconds."""
_PAGE_BYTES: Final = 4096


def check_limits(who: str, cpu_cores: float | None, mem_bytes: int | None, asked: Setting) -> None:
    """Raise `LimitsDifferError` unless these limits, None for none, are those that were asked for.

    ``who`` begins the sentence that tells them, as in "the control group of process 7 has".
    """
    same_cpu = cpu_cores is not None and abs(cpu_cores / asked.cpu_cores - 1) <= _CORES_APART
    same_memory = mem_bytes is not None and abs(mem_bytes - asked.mem_bytes) <= _PAGE_BYTES
    if not (same_cpu and same_memory):
        raise LimitsDifferError(
            f"{limits_text(asked.cpu_cores, asked.mem_bytes)} was asked for, and {who}"
            f" {limits_text(cpu_cores, mem_bytes)}",
            hint="What is measured would not be of the limits that are named",
        )
