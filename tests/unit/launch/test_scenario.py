"""What is said of a Locust file that cannot be read, before any process is started for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadstone.errors import UsageError
from loadstone.launch.scenario import ask
from loadstone.settings.command_line import ScenarioQuestion


@pytest.mark.parametrize("url", ["https://host/x.py", "http://127.0.0.1:8000/a/b.py"])
def test_a_url_is_no_missing_file(url: str):
    with pytest.raises(UsageError) as caught:
        ask(ScenarioQuestion(files=(str(Path(url)),)))
    assert caught.value.message == f"the scenario {url} is a URL, not a file"
    assert caught.value.hint == f"Download it first: curl -O {url}"


def test_a_missing_file_is_named():
    with pytest.raises(UsageError, match=r"the scenario no/where\.py does not exist"):
        ask(ScenarioQuestion(files=("no/where.py",)))
