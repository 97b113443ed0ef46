"""Small file systems that a test fills up, breaks and mends. Mounting needs root, or sudo without a password."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from support.require import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125  # EXT4_IOC_SHUTDOWN, linux/ext4.h
_WITHOUT_FLUSHING = 2


def as_root(*command: str | Path) -> None:
    """Run a command as root; skips the test, or fails it where everything has to be there, when that is refused."""
    words = [*(() if os.geteuid() == 0 else ("sudo", "-n")), *map(str, command)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        missing(f"a file system cannot be mounted: {error}")
        return
    if done.returncode:
        missing(f"a file system cannot be mounted: {' '.join(words)}: {done.stderr.strip()}")


@dataclass
class SmallDisk:
    """A mounted file system at ``path``."""

    path: Path
    _filler: list[Path] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def fill(self) -> None:
        """Leave no room for a single byte."""
        self._filler.append(self.path / f"filler-{next(self._numbers)}")
        with self._filler[-1].open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (65536, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def take_inodes(self) -> None:
        """Leave no inode for another file."""
        with contextlib.suppress(OSError):
            while True:
                path = self.path / f"filler-{next(self._numbers)}"
                path.touch()
                self._filler.append(path)

    def make_room(self) -> None:
        """Remove what `fill` and `take_inodes` put there."""
        while self._filler:
            self._filler.pop().unlink(missing_ok=True)


@contextmanager
def memory_disk(path: Path, *, size: str = "8m", inodes: int = 0) -> Iterator[SmallDisk]:
    """A tmpfs of that size, with at most so many files and folders (0: any number)."""
    path.mkdir(parents=True, exist_ok=True)
    owner = f"uid={os.getuid()},gid={os.getgid()},mode=700"
    as_root("mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes},{owner}", "loadstone-test", path)
    try:
        yield SmallDisk(path)
    finally:
        as_root("umount", "-l", path)


@dataclass
class Ext4Disk:
    """An ext4 in a file. A broken one can be mended once nothing has it open any more."""

    path: Path
    image: Path

    def mount(self) -> None:
        """Put it at its path, read-only from the first error on."""
        as_root("mount", "-o", "loop,errors=remount-ro", self.image, self.path)
        as_root("chown", f"{os.getuid()}:{os.getgid()}", self.path)

    def turn_read_only(self) -> None:
        """Let the kernel find an error in the file system, whereupon it makes it read-only."""
        found = subprocess.run(["findmnt", "-no", "SOURCE", self.path], capture_output=True, text=True, check=True)
        name = Path(found.stdout.strip()).name
        as_root("sh", "-c", f"echo 1 > /sys/fs/ext4/{name}/trigger_fs_error")

    def turn_unusable(self) -> None:
        """Answer every access with an input/output error from now on."""
        if os.geteuid():
            missing("only root can take a file system away")
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(handle)

    def mend(self) -> None:
        """Repair and mount it again."""
        as_root("umount", self.path)
        done = subprocess.run(["e2fsck", "-fy", self.image], capture_output=True, text=True, check=False)
        assert done.returncode in {0, 1}, done.stdout  # 1: errors were corrected
        self.mount()


@contextmanager
def ext4_disk(path: Path) -> Iterator[Ext4Disk]:
    """A small ext4, mounted through a loop device."""
    path.mkdir(parents=True)
    image = path.with_name(f"{path.name}.img")
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    done = subprocess.run(["mkfs.ext4", "-q", "-F", image], capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"no ext4 can be made: {done.stderr}")
    disk = Ext4Disk(path, image)
    disk.mount()
    try:
        yield disk
    finally:
        as_root("umount", "-l", path)
