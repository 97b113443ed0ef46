from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from inference.errors import SettingsError
from inference.settings import Settings, parse_model_uri, read_settings


def test_an_empty_environment_gives_the_documented_defaults():
    settings = read_settings({})
    assert (settings.host, settings.port, settings.mode) == ("127.0.0.1", 8000, "auto")
    assert settings.tracking_uri == "sqlite:///mlflow.db"
    assert (settings.model_uri.name, settings.model_uri.alias) == ("diabetes", "champion")


def test_all_invalid_settings_are_reported_at_once_with_value_and_allowed_range():
    with pytest.raises(SettingsError) as caught:
        read_settings({"TARGET_PORT": "70000", "TARGET_MODE": "fast", "MODEL_URI": "runs:/1", "TARGET_QUEUE_ROWS": "x"})
    sentence = caught.value.sentence()
    for part in (
        "TARGET_PORT='70000'",
        "0 to 65535",
        "TARGET_MODE='fast'",
        "naive",
        "MODEL_URI='runs:/1'",
        "TARGET_QUEUE_ROWS",
    ):
        assert part in sentence
    assert "\n" not in sentence


def test_an_empty_value_counts_as_not_set():
    assert read_settings({"TARGET_PORT": " "}) == read_settings({})


@pytest.mark.parametrize(
    ("text", "alias", "version", "stage"),
    [
        ("models:/m@champion", "champion", None, None),
        ("models:/m/3", None, "3", None),
        ("models:/m/production", None, None, "Production"),
        ("models:/m/latest", None, None, None),
    ],
)
def test_a_model_uri_names_an_alias_a_version_or_a_stage(text: str, alias: Any, version: Any, stage: Any):
    uri = parse_model_uri(text)
    assert (uri.name, uri.alias, uri.version, uri.stage) == ("m", alias, version, stage)


@pytest.mark.parametrize(
    "text", ["models:/", "models:/m", "models:/m@", "models:/m/prod", "m@champion", "models:/a/b/c"]
)
def test_any_other_model_uri_is_refused_with_what_is_allowed(text: str):
    with pytest.raises(ValueError, match="models:/NAME@ALIAS"):
        parse_model_uri(text)


@pytest.mark.parametrize("value", ["nan", "-1", "soon", "inf"])
def test_seconds_must_be_a_number_in_range(value: str):
    with pytest.raises(SettingsError, match="TARGET_DRAIN_SECONDS"):
        read_settings({"TARGET_DRAIN_SECONDS": value})


def test_settings_cannot_be_changed_after_they_were_read():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_settings({}).port = 1


def test_every_setting_is_described_with_its_variable():
    for field in dataclasses.fields(Settings):
        assert f"{field.name}: ``" in Settings.__doc__
