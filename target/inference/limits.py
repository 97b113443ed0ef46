"""The CPU and memory limits of this process, read from cgroup v1 or v2.

Sources, in the kernel's ``Documentation/``: ``admin-guide/cgroup-v2.rst`` (``cpu.max``, ``memory.max``),
``scheduler/sched-bwc.rst`` (``cpu.cfs_*``) and ``admin-guide/cgroup-v1/memory.rst`` (``memory.limit_in_bytes``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# v1 represents "no limit" by the largest page-aligned 63-bit number; no machine has even a quarter of it.
_NO_LIMIT_BYTES: Final = 1 << 60

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The tightest limits among this process's cgroup and its ancestors; None means unlimited."""

    cpu_cores: float | None
    memory_bytes: int | None


def read_limits(*, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Limits:
    """Read the limits; a file that is absent or unreadable counts as no limit."""
    groups = _own_groups(own)
    unified = groups.get("", "/")
    cpu_v1 = list(_folders(root / "cpu", groups.get("cpu", "/")))
    memory_v1 = list(_folders(root / "memory", groups.get("memory", "/")))
    unified_folders = list(_folders(root, unified))
    cores = [*_values(cpu_v1, _cores_v1), *_values(unified_folders, _cores_v2)]
    sizes = [*_values(memory_v1, _bytes_v1), *_values(unified_folders, _bytes_v2)]
    return Limits(cpu_cores=min(cores, default=None), memory_bytes=min(sizes, default=None))


def _own_groups(own: Path) -> dict[str, str]:
    """Map each controller, or "" for v2's single hierarchy, to this process's path in it."""
    groups: dict[str, str] = {}
    for line in (_text(own) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _folders(root: Path, path: str) -> Iterator[Path]:
    """Yield the cgroup's folder and its parents; inside a container only the mount's root exists."""
    folder = root / path.lstrip("/")
    while folder != root and root in folder.parents:
        yield folder
        folder = folder.parent
    yield root


def _values(folders: list[Path], read: Callable[[Path], Number | None]) -> Iterator[Number]:
    for folder in folders:
        value = read(folder)
        if value is not None:
            yield value


def _cores_v1(folder: Path) -> float | None:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _cores_v2(folder: Path) -> float | None:
    quota, _, period = (_text(folder / "cpu.max") or "max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.strip().isdigit() else None


def _bytes_v1(folder: Path) -> int | None:
    size = _number(folder / "memory.limit_in_bytes")
    return size if size is not None and size < _NO_LIMIT_BYTES else None


def _bytes_v2(folder: Path) -> int | None:
    return _number(folder / "memory.max")


def _number(path: Path) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
