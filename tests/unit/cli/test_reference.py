"""The pages about settings and verbs cannot drift from the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loadstone.cli import main as cli
from loadstone.cli.reference import settings_page

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def without_machine(page: str) -> list[str]:
    """All lines but the one whose default depends on the machine's cores."""
    return [line for line in page.splitlines() if "LOADSTONE_WORKERS" not in line]


def test_the_reference_page_of_settings_is_up_to_date():
    assert without_machine(PAGE.read_text()) == without_machine(settings_page())


def test_every_verb_has_help_that_names_its_options(help_of: Callable[..., str]):
    for verb in cli.verbs():
        assert "--" in help_of(verb.name)
        for action in verb.actions:
            assert "--help" in help_of(verb.name, action.name)
