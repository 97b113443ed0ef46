"""Draw docs/images/run.svg from a real run of the demo in a terminal: `make terminal-picture`."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from loadstone.archive.closed_run import list_runs
from support.environ import without_settings
from support.loadstone_run import REPOSITORY
from support.terminal import InTerminal, without_colours

COLUMNS: Final = 100
PICTURE: Final = REPOSITORY / "docs" / "images" / "run.svg"
LOAD: Final = ("-u", "60", "-r", "15", "-t", "70s", "--warmup", "5s")
OBJECTIVES: Final = ("p95<1s", "failures<=0.1%", "cpu(target)<90%")
WORDS: Final = ("run", *LOAD, *(word for each in OBJECTIVES for word in ("--objective", each)))
TRIES: Final = 3
"""A busy machine may make a run inconclusive."""
SHOWN_AT: Final = "0:50 of 1:10"
"""The moment of the run that the picture shows."""
_FONTS: Final = re.compile(r"@font-face \{\{.*?\}\}", re.DOTALL)
"""Fonts that a reader's browser would fetch from another site; those of the machine will do."""


def draw_run() -> None:
    before = set(list_runs(REPOSITORY / "results"))
    try:
        _draw(next(frames for _ in range(TRIES) if (frames := _shown())))
    finally:
        for run in set(list_runs(REPOSITORY / "results")) - before:
            shutil.rmtree(run.path)


def _draw(frames: list[list[str]]) -> None:
    left = frames[-1]
    while_it_runs = next(frame for frame in frames if SHOWN_AT in without_colours("\n".join(frame)))
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(f"$ loadstone {shlex.join(WORDS)}", highlight=False)
    for lines in (while_it_runs, [], ["and 20 seconds later:"], [], left[_notes(while_it_runs) :]):
        console.print(Text.from_ansi("\n".join(lines)))
    PICTURE.write_text(console.export_svg(title="loadstone", code_format=_FONTS.sub("", CONSOLE_SVG_FORMAT)))


def _shown() -> list[list[str]]:
    """What the terminal showed from moment to moment; nothing if the run did not pass."""
    environ = without_settings() | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environ.pop("NO_COLOR", None)
    program = InTerminal([sys.executable, "-m", "loadstone", *WORDS], environ, columns=COLUMNS, rows=40)
    frames = list(program.frames(timeout_s=300))
    return frames if program.code == 0 else []


def _notes(frame: list[str]) -> int:
    """How many lines stand above the region, which begins with an empty one."""
    return next(at for at, line in enumerate(frame) if without_colours(line).startswith("run ")) - 1
