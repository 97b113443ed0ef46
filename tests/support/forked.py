"""The command line in a forked process with real file descriptors: as of its own, without a second of imports."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from loadstone.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Ended", "broken_pipe", "run_forked"]


@dataclass(frozen=True)
class Ended:
    """Exit code and what it said; ``out`` is empty where standard output was the test's own."""

    code: int
    out: str
    err: str


def run_forked(
    *words: str, out: int | None = None, encoding: str = "utf-8", environ: Mapping[str, str] | None = None
) -> Ended:
    """Run a verb with descriptor ``out`` as its standard output; None: captured, -1: closed."""
    with TemporaryFile() as captured, TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            _become(words, captured.fileno() if out is None else out, errors.fileno(), encoding, environ or {})
        _, status = os.waitpid(child, 0)
        captured.seek(0)
        errors.seek(0)
        text = captured.read().decode(encoding)
        return Ended(os.waitstatus_to_exitcode(status), text, errors.read().decode("utf-8", "backslashreplace"))


def broken_pipe() -> int:
    """The writing end of a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def _become(words: tuple[str, ...], out: int, errors: int, encoding: str, environ: Mapping[str, str]) -> None:
    """Never returns. Standard streams are made as Python makes them, and flushed as it does when it ends."""
    code = 120  # Python's own exit code when it cannot flush standard output
    with suppress(BaseException):
        os.environ.update(environ)
        os.dup2(errors, 2)
        os.close(1) if out == -1 else os.dup2(out, 1)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        sys.stdout = None if out == -1 else os.fdopen(1, "w", encoding=encoding, closefd=False)
        code = _exit_code(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    os._exit(code)


def _exit_code(words: tuple[str, ...]) -> int:
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)
