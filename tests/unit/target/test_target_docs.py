"""The README agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inference.errors import SettingsError
from inference.settings import read_settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "target" / "README.md").read_text()
SETTINGS = (ROOT / "target" / "inference" / "settings.py").read_text()
BALANCER = (ROOT / "target" / "balancer" / "haproxy.cfg").read_text()
ROW = re.compile(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", re.MULTILINE)


def _documented(prefix: str) -> dict[str, str]:
    return {name: default for name, default in ROW.findall(README) if name.startswith(prefix)}


def test_the_documented_settings_of_the_target_are_exactly_those_it_reads():
    read = set(re.findall(r'reader\.take\(\s*"([A-Z_]+)"', SETTINGS))
    documented = set(_documented("TARGET_")) | set(_documented("M"))
    assert documented == read


def test_the_documented_defaults_are_the_defaults():
    documented = {**_documented("TARGET_"), **_documented("M")}
    assert read_settings(documented) == read_settings({})


@pytest.mark.parametrize("name", sorted(set(_documented("TARGET_")) - {"TARGET_HOST"}))
def test_a_documented_setting_is_read_and_an_invalid_value_refused_by_name(name: str):
    with pytest.raises(SettingsError, match=name):
        read_settings({name: "wrong"})


def test_every_setting_of_the_balancer_is_documented_with_its_default():
    assert _documented("BALANCER_") == dict(re.findall(r"presetenv (\w+) (\S+)", BALANCER))
