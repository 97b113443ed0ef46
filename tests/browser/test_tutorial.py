"""The tutorial: every command in it is run, in order, as a reader would; alone, since its verdicts are not lenient."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.loadstone_run import REPOSITORY, run_records
from support.page_checks import assert_quiet
from support.processes import free_port, port_answers, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.chromium import Browser

PAGE = REPOSITORY / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
NAMED = re.compile(r"`(\w+\.py)`")
LAST = "END OF BLOCK\n"
ENDED = "the shell has ended\n"
SECOND_TERMINAL = "<!-- in the second terminal -->"


class Block(NamedTuple):
    """What stands in a frame, and the line before it."""

    before: str
    language: str
    text: str


class SecondTerminal:
    """Runs one command at a time; another one comes after Ctrl-C."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[bytes] | None = None

    def enter(self, command: str) -> None:
        """Run a command that serves, and wait until it does."""
        self.interrupt()
        self._process = subprocess.Popen(command.split(), cwd=self._folder, env=environment())
        wait_until(lambda: port_answers(self._port), "the API answers")

    def interrupt(self) -> None:
        """End what runs."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)


def environment() -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("LOADSTONE_", "LOCUST_"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}


def blocks(text: str) -> Iterator[Block]:
    """All frames of the page, with the file names of Python ones in the paragraph before."""
    at = 0
    for match in BLOCK.finditer(text):
        names = NAMED.findall(text[at : match.start("text")])
        at = match.end()
        yield Block(names[0] if match["language"] == "python" else match["before"], match["language"], match["text"])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def second_terminal(tmp_path: Path, port: int) -> Iterator[SecondTerminal]:
    terminal = SecondTerminal(tmp_path, port)
    yield terminal
    terminal.interrupt()


@pytest.mark.timeout(400)
def test_a_reader_of_the_tutorial_comes_from_nothing_to_a_verdict(
    tmp_path: Path, port: int, second_terminal: SecondTerminal, browser: Browser
):
    text = PAGE.read_text().replace(":8000", f":{port}").replace('", 8000)', f'", {port})')
    with subprocess.Popen(
        ["bash", "-e"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as first_terminal:
        said = follow(text, tmp_path, first_terminal, second_terminal)
    assert first_terminal.returncode == 0, said
    runs = sorted(run_records(tmp_path / "load-test" / "results"), key=lambda run: run["id"])
    assert [(run["users"], run["verdict"]) for run in runs] == [
        (1, "pass"),
        (20, "pass"),
        (100, "fail"),
        (100, "pass"),
        (20, "pass"),
    ], said
    assert "exit code 1\n" in said
    assert runs[2]["failures"] == runs[3]["failures"] == 0
    assert {"load-test.xml", "load-test.md"} <= {path.name for path in (tmp_path / "load-test").iterdir()}
    report = tmp_path / "load-test" / "results" / runs[2]["id"] / "report.html"
    with browser.page() as page:
        page.open(report.as_uri(), ready="document.body?.innerText.includes('p95<500ms')")
        assert_quiet(page, "file:")


def follow(text: str, folder: Path, first_terminal: subprocess.Popen[str], second_terminal: SecondTerminal) -> str:
    """Do what the page says, in order; what the first terminal says."""
    assert first_terminal.stdin is not None
    assert first_terminal.stdout is not None
    commands, said, here = 0, [], folder
    for block in blocks(text):
        if block.language == "python":
            (here / block.before).write_text(block.text)
            continue
        commands += 1
        if block.before == SECOND_TERMINAL:
            second_terminal.enter(block.text)
            continue
        first_terminal.stdin.write(f"{block.text}\necho {LAST}")
        first_terminal.stdin.flush()
        said += takewhile(lambda line: line != LAST, chain(first_terminal.stdout, [ENDED]))
        if said[-1:] == [ENDED]:
            break
        here = folder / "load-test" if "cd load-test" in block.text else here
    first_terminal.stdin.close()
    assert commands == 12, "".join(said)
    return "".join(said)
