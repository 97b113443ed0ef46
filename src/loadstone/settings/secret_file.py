"""Secrets come in files, so that none is in an environment, an option or a log. They are read here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_secret"]


def read_secret(file: Path, *, what: str, option: str) -> str:
    """The one word in a file, without the white space around it.

    ``what`` the file holds ("InfluxDB token") and the ``option`` that names it are for the error. Raises `UsageError`
    when the file cannot be read, is empty, or holds more than one word.
    """
    hint = f"Name a readable file that holds nothing but the {what} with {option}"
    try:
        words = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the {what} file {file} cannot be read: {error}", hint=hint) from error
    if len(words) != 1:
        raise UsageError(f"the {what} file {file} holds {len(words)} words, and has to hold one", hint=hint)
    return words[0]
