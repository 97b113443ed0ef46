"""The pages about settings and verbs cannot drift from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadstone.cli import main as cli
from loadstone.cli.reference import settings_page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def without_machine(page: str) -> list[str]:
    """All lines but the one whose default depends on the machine's cores."""
    return [line for line in page.splitlines() if "LOADSTONE_WORKERS" not in line]


def test_the_reference_page_of_settings_is_up_to_date():
    assert without_machine(PAGE.read_text()) == without_machine(settings_page())


def test_every_verb_has_help_that_names_its_options(capsys: pytest.CaptureFixture[str]):
    for verb in cli._VERBS:
        with pytest.raises(SystemExit) as ended:
            cli.main([verb, "--help"])
        assert ended.value.code == 0
        assert "--" in capsys.readouterr().out


def test_an_unknown_option_of_a_service_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["usage", "--colour", "red"])
    assert ended.value.code == 2
    assert "--colour" in capsys.readouterr().err


def test_wrong_settings_are_told_in_one_line_each_without_a_traceback(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["usage", "--pid", "none", "--redis-url", "nowhere"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("loadstone: --") for line in lines)
