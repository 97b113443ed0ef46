"""The command line of a study: what is kept of it, and what a study that is resumed asks."""

from __future__ import annotations

from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from msgspec.structs import replace

from loadstone.capacity.study import StudyFolder
from loadstone.capacity.study_record import StudyRecord
from loadstone.cli.study_question import asked, new_study, objectives_of, refuse_other_question
from loadstone.cli.study_words import goes_on, kept_words
from loadstone.errors import UsageError
from loadstone.launch.scenario import Scenario
from loadstone.rig.command import CommandRig
from loadstone.settings import CapacitySettings, load

if TYPE_CHECKING:
    from loadstone.rig.rig import Rig

OWN = Scenario(files=(Path("own.py"),), user_classes=("Own",), hosts=("http://own",), shape=None, arguments=())
USERS = {"find": "users", "objective": ["p95<1s"], "host": "http://target"}
LIMITS = {"cpu": "0.5..1", "memory": "512m", "objective": ["p95<1s"], "apply": "./set.sh", "host": "http://target"}


def fields(options: dict[str, Any], rig: Rig | None = None, scenario: Scenario = OWN, **more: Any) -> dict[str, object]:
    return asked(load(CapacitySettings, {**options, **more}, environ={}), scenario, rig)


def difference(study: StudyRecord, now: dict[str, object]) -> str:
    with pytest.raises(UsageError) as refused:
        refuse_other_question(study, now)
    return str(refused.value)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("-f", "own.py", "-u", "9"), ("-f", "{}/own.py", "-u", "9")),
        (("-fown.py",), ("-f{}/own.py",)),
        (("--locustfile=a.py,b.py",), ("--locustfile={}/a.py,{}/b.py",)),
        (("--loc", "a.py"), ("--loc", "{}/a.py")),
        (("--loadstone-locustfile", "a.py"), ("--loadstone-locustfile", "{}/a.py")),
        (("--config", "c.toml", "--compose-file", "/c.yaml"), ("--config", "{}/c.toml", "--compose-file", "/c.yaml")),
        (("--results", "r", "--results=s", "-u", "9"), ("-u", "9")),
        (("--apply", "./set.sh"), ("--apply", "./set.sh")),
        (("-f",), ("-f",)),
    ],
)
def test_words_are_kept_with_paths_that_mean_the_same_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], kept: tuple[str, ...]
):
    monkeypatch.chdir(tmp_path)
    assert kept_words(words, has_secrets=False) == tuple(word.replace("{}", str(tmp_path)) for word in kept)


def test_words_that_could_hold_a_secret_are_not_kept():
    assert kept_words(("-u", "9"), has_secrets=True) is None
    assert kept_words(("--host", "http://me:secret@target"), has_secrets=False) is None
    assert kept_words((), has_secrets=False) == ()


SETTINGS = load(CapacitySettings, {"objective": ["p95<1s"], "find": "users", "stack": "yes"}, environ={})


@pytest.mark.parametrize(
    "words",
    [
        ("--apply", "./set-limits.sh --timeout 60", "--restore", "kubectl apply -f model.yaml"),
        ("--stack-token-file", "/run/secrets/token", "--influx-token-file=/run/secrets/influx"),
    ],
)
def test_words_without_secrets_are_kept(words: tuple[str, ...]):
    assert kept_words(words, has_secrets=False) == words


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
    study = new_study(asked(SETTINGS, None, rig), kept_words((option, command), has_secrets=False))
    assert study.words is None
    assert b"hunter2" not in msgspec.json.encode(study)


def test_a_secret_that_another_word_names_is_not_kept_either():
    assert kept_words(("--password", "hunter2"), has_secrets=False) is None


def test_a_study_of_an_older_version_is_read():
    study = new_study(fields(USERS), ())
    old = msgspec.json.decode(msgspec.json.encode(study))
    del old["words"]
    assert msgspec.convert(old, StudyRecord).words is None
    assert msgspec.convert(old | {"words": []}, StudyRecord).words == ()


def test_how_a_study_goes_on_is_a_whole_command(tmp_path: Path):
    folder = StudyFolder(tmp_path / "studies" / "20261120-120000-aaaa")
    command = f"`loadstone capacity --resume 20261120-120000-aaaa --results {tmp_path}`"
    study = new_study(fields(USERS), ("-u", "9"))
    assert goes_on(folder, study) == f"{command} goes on"
    assert goes_on(folder, replace(study, words=None)) == f"{command}, with its options, goes on"


def test_the_same_question_is_the_same_wherever_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study = new_study(fields(USERS), ())
    refuse_other_question(study, fields(USERS))
    here = Path.cwd() / "own.py"
    monkeypatch.chdir(tmp_path)
    absolute = Scenario(files=(here,), user_classes=("Own",), hosts=("http://own",), shape=None, arguments=())
    refuse_other_question(study, fields(USERS, scenario=absolute))


def test_a_study_of_an_older_version_with_a_relative_scenario_is_resumed():
    refuse_other_question(replace(new_study(fields(USERS), ()), scenario=("own.py",)), fields(USERS))


def test_a_study_of_before_whose_target_had_no_name_goes_on():
    unnamed = {name: value for name, value in USERS.items() if name != "host"}
    now = fields(unnamed, scenario=replaced(OWN, hosts=()))
    refuse_other_question(new_study({**now, "host": "as the scenario decides"}, ()), now)


def test_the_option_that_differs_is_named_with_what_it_was_and_is():
    study = new_study(fields(LIMITS, CommandRig("./set.sh")), ())
    refuse_other_question(study, fields(LIMITS, CommandRig("./set.sh")))
    assert difference(study, fields(LIMITS, CommandRig("./other.sh"))) == (
        f"study {study.id} asked something else: --apply, --compose-file or --rig differs, which was the target of"
        " the command './set.sh', and is the target of the command './other.sh'."
        " Resume it with the options that it was started with, or start a new study"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"cpu": "0.5..2"}, "--cpu differs, which was 0.5, 1, and is 0.5, 1, 1.5, 2"),
        ({"memory": "512m,1g"}, "--memory differs, which was 512m, and is 512m, 1g"),
        ({"users": "70"}, "--users differs, which was 50, and is 70"),
        ({"price_cpu": "1"}, "--price-cpu differs, which was 0.04048, and is 1"),
        ({"objective": ["p95<2s"]}, "--objective differs, which was p95<1s, failures<=1%, and is p95<2s, failures<=1%"),
        ({"measure": "30s", "warmup": "5s"}, "--measure differs, which was 60, and is 30; --warmup differs, "),
        ({"host": "http://other"}, "--host differs, which was http://target, and is http://other"),
        ({"seed": "4"}, "the scenario's files or options, --tags, --exclude-tags, --seed or --workers differ"),
    ],
)
def test_every_option_that_differs_is_named(options: dict[str, Any], text: str):
    study = new_study(fields(LIMITS, CommandRig("./set.sh")), ())
    assert text in difference(study, fields(LIMITS, CommandRig("./set.sh"), **options))


def test_another_kind_of_question_is_named():
    study = new_study(fields(USERS), ())
    assert "--find differs, which was users, and is limits" in difference(study, fields({**LIMITS, "measure": "30s"}))


def test_one_objective_is_on_failures():
    settings = load(CapacitySettings, USERS, environ={})
    assert objectives_of(settings) == ("p95<1s", "failures<=1%")
    judged = load(CapacitySettings, {**USERS, "objective": ["failures<=5%"]}, environ={})
    assert objectives_of(judged) == ("failures<=5%",)
