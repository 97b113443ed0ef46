"""A double of the program ``docker``: it records its command lines and answers from a table; no engine is behind it.

What the real one does is tested in tests/stack/test_service_rig.py.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from loadstone.rig.docker import Docker

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DockerDouble"]

_PROGRAM: Final = """#!{python} -SE
import json, pathlib, sys, time
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
files = [words[n + 1] for n, word in enumerate(words) if word == "-f"]
override = next((json.loads(pathlib.Path(file).read_text()) for file in files if file.endswith("limits.json")), None)
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([words, override]) + "\\n")
line = " ".join(words)
if "up" in words:
    time.sleep(0.3)  # so that whoever does not wait for it is seen
    with (folder / "ended").open("a") as ended:
        ended.write("up\\n")
for part, code, out, err in json.loads((folder / "answers").read_text()):
    if part in line:
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(code)
sys.exit(f"the double has no answer to: {{line}}")
"""


class DockerDouble:
    """The program in a ``folder`` of its own. The first answer whose text is part of the command line is given."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._answers: list[tuple[str, int, str, str]] = []
        program = folder / "docker"
        program.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        self.docker = Docker(str(program))

    def answer(self, part: str, out: Any = "", *, code: int = 0, err: str = "") -> None:
        """Answer command lines that contain ``part``, before those that had an answer; what is no text is JSON."""
        self._answers.insert(0, (part, code, out if isinstance(out, str) else json.dumps(out), err))
        (self.folder / "answers").write_text(json.dumps(self._answers))

    def calls(self, word: str) -> list[list[str]]:
        """The command lines with this word, in order."""
        return [words for words, _ in self._recorded() if word in words]

    def ended(self, word: str) -> int:
        """How many commands with this word, which is `up`, came to their end."""
        file = self.folder / "ended"
        return file.read_text().split().count(word) if file.exists() else 0

    def overrides(self) -> list[Any]:
        """What override files said, in order; None for a call of `up` without one."""
        return [override for words, override in self._recorded() if "up" in words]

    def _recorded(self) -> list[Any]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
