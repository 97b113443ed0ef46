"""The command line of a study is kept, so that it can be resumed, unless a word of it could be a secret."""

from __future__ import annotations

import msgspec
import pytest

from loadstone.cli.study_question import asked, new_study
from loadstone.rig.command import CommandRig
from loadstone.settings import CapacitySettings, load

SETTINGS = load(CapacitySettings, {"objective": ["p95<1s"], "find": "users", "stack": "yes"}, environ={})


@pytest.mark.parametrize(
    "words",
    [
        ("--apply", "./set-limits.sh --timeout 60", "--restore", "kubectl apply -f model.yaml"),
        ("--stack-token-file", "/run/secrets/token", "--influx-token-file=/run/secrets/influx"),
    ],
)
def test_words_without_secrets_are_kept(words: tuple[str, ...]):
    assert new_study(asked(SETTINGS, None, None), words, has_secrets=False).words == words


@pytest.mark.attack("a secret in the words of --apply or --restore", "it is in no file of the study")
@pytest.mark.parametrize("option", ["--apply", "--restore"])
@pytest.mark.parametrize(
    "command",
    [
        "DEPLOY_TOKEN=hunter2 ./set.sh",
        "./set.sh --password hunter2",
        "./set.sh --password=hunter2",
        "kubectl --token hunter2 apply",
        "curl -H 'Authorization: hunter2' api",
        "curl -H 'Authorization: Bearer hunter2' api",
        "curl -H 'X-Api-Key: hunter2' api",
        "curl https://bob:hunter2@api/limits",
        "curl -u bob:hunter2 api",
        "PGPASSWORD=hunter2 psql",
    ],
)
def test_a_command_with_a_secret_is_not_kept(option: str, command: str):
    rig = CommandRig(command) if option == "--apply" else None
    study = new_study(asked(SETTINGS, None, rig), (option, command), has_secrets=False)
    assert study.words == ()
    assert b"hunter2" not in msgspec.json.encode(study)


def test_a_secret_that_another_word_names_is_not_kept_either():
    study = new_study(asked(SETTINGS, None, None), ("--password", "hunter2"), has_secrets=False)
    assert study.words == ()
