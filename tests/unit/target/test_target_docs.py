"""The README says what the code does."""

from __future__ import annotations

import re

import pytest
from target_helpers import ROOT

from inference.settings import read_settings

README = (ROOT / "target" / "README.md").read_text()
SETTINGS = (ROOT / "target" / "inference" / "settings.py").read_text()
BALANCER = (ROOT / "target" / "balancer" / "haproxy.cfg").read_text()
ROW = re.compile(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", re.MULTILINE)


def _documented(prefix: str) -> dict[str, str]:
    return {name: default for name, default in ROW.findall(README) if name.startswith(prefix)}


def test_every_setting_of_the_target_is_documented_and_none_that_is_not_there():
    read = set(re.findall(r'reader\.take\(\s*"([A-Z_]+)"', SETTINGS))
    documented = set(_documented("TARGET_")) | set(_documented("M"))
    assert documented == read


def test_the_documented_defaults_are_the_defaults():
    documented = {**_documented("TARGET_"), **_documented("M")}
    assert read_settings(documented) == read_settings({})


@pytest.mark.parametrize("name", sorted(_documented("TARGET_")))
def test_a_documented_setting_is_read(name: str):
    try:
        changed = read_settings({name: "1"})
    except Exception as refused:  # noqa: BLE001 - whichever way it is noticed, it was read
        assert name in str(refused)
    else:
        assert changed != read_settings({})


def test_every_setting_of_the_balancer_is_documented_with_its_default():
    assert _documented("BALANCER_") == dict(re.findall(r"presetenv (\w+) (\S+)", BALANCER))
