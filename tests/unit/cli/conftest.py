"""What tests of the command line share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.cli import main as cli

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def help_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The help of a verb, or of an action of a verb, as it is printed."""

    def shown(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return shown
