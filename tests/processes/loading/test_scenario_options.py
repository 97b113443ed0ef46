"""Options that a scenario declares itself reach it, whatever loadstone calls its own; loadstone's stay spellable."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.cli import main as cli
from loadstone.cli.scenario_line import ScenarioLine, read_line
from loadstone.errors import ExitCode, SettingsError, UsageError
from loadstone.launch.local import LocalStack
from loadstone.settings import RunSettings, WorkerSettings, load
from support.launch_doubles import FakeMachine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OF_LOCUST = frozenset(
    {
        *("--help", "--config", "--locustfile", "--host", "--users", "--spawn-rate", "--run-time", "--stop-timeout"),
        *("--tags", "--exclude-tags", "--master-port", "--web-port"),
    }
)
"""Options that Locust has too: a scenario cannot declare them, with Locust neither."""
JUDGING = ("--objective", "--warmup", "--steady-state", "--target-pid")


def own_options(verb: str) -> list[str]:
    names = [name for action in parsed(verb).parser._actions for name in action.option_strings]
    return [name for name in names if name.startswith("--") and name not in OF_LOCUST]


def parsed(verb: str) -> Any:
    return cli.parser().parse_args([verb])


RUN_OPTIONS = own_options("run")
YIELDED = [name for name in RUN_OPTIONS if name not in JUDGING]


def line_of(*words: str, verb: str = "run", worker: bool = False) -> ScenarioLine[Any]:
    return read_line(WorkerSettings if worker else RunSettings, parsed(verb), words, worker=worker)


def scenario_with(folder: Path, *options: str, name: str = "declares.py") -> Path:
    declared = "\n".join(f"    parser.add_argument({option!r}, default='default')" for option in options)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(
        "from locust import User, events\n\n@events.init_command_line_parser.add_listener\n"
        f"def declare(parser):\n{declared or '    pass'}\n\n\nclass Buyer(User):\n    pass\n\n\nclass Seller(User):\n"
        "    pass\n"
    )
    return folder / name


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> ScenarioLine[Any]:
    """A scenario that declares every option of loadstone's, all of them given but those that are refused."""
    file = scenario_with(tmp_path_factory.mktemp("all"), *RUN_OPTIONS)
    given = [word for name in YIELDED for word in (name, f"value-of{name}")]
    return line_of("-f", str(file), *given, "-u", "7")


@contextmanager
def argv_of(line: ScenarioLine[Any]) -> Iterator[dict[str, list[str]]]:
    machine = FakeMachine()
    settings = load(RunSettings, {"host": "http://127.0.0.1:1", "redis_url": "redis://127.0.0.1:1/0"}, environ={})
    with LocalStack(settings, line.scenario, make_process=machine.make) as stack:
        stack.start(lambda: False)
        yield {name: [*process.argv, *process.hidden_arguments] for name, process in machine.processes.items()}


@pytest.mark.parametrize("option", YIELDED)
def test_an_option_that_the_scenario_declares_is_the_scenarios_in_every_process(everything: ScenarioLine[Any], option):
    given = everything.scenario.arguments
    assert given[given.index(option) + 1] == f"value-of{option}"
    with argv_of(everything) as argv:
        for name in ("master", "worker-1", "worker-2"):
            assert argv[name][argv[name].index(option) + 1] == f"value-of{option}"
    setting = option.removeprefix("--").replace("-", "_")
    default = load(RunSettings, {}, environ={})
    if hasattr(default, setting):
        assert getattr(everything.settings, setting) == getattr(default, setting)


@pytest.mark.parametrize("option", YIELDED)
def test_it_is_said_who_got_an_option_that_both_have(everything: ScenarioLine[Any], option: str):
    assert any(
        f"the scenario declares {option}," in note and f"--loadstone-{option.removeprefix('--')}" in note.split()
        for note in everything.notes
    )


def test_what_only_loadstone_has_is_still_loadstones(everything: ScenarioLine[Any]):
    assert everything.settings.users == 7
    assert "-u" not in everything.scenario.arguments


@pytest.mark.parametrize("option", JUDGING)
def test_an_option_that_changes_the_verdict_is_not_guessed(tmp_path: Path, option: str):
    file = scenario_with(tmp_path, option)
    with pytest.raises(UsageError) as refused:
        line_of("-f", str(file), option, "5")
    for word in (option, str(file), f"--loadstone-{option.removeprefix('--')}", "--"):
        assert word in str(refused.value)


def test_behind_two_dashes_it_is_the_scenarios_and_with_the_prefix_loadstones(tmp_path: Path):
    file = scenario_with(tmp_path, *JUDGING, "--seed", "--plain")
    line = line_of(
        *(
            "-f",
            str(file),
            "--loadstone-warmup",
            "5s",
            "--loadstone-objective",
            "p95<1s",
            "rps>1",
            "--loadstone-seed=4",
        ),
        *("--loadstone-plain", "--", "--warmup", "three", "--objective", "four"),
    )
    settings = line.settings
    assert (settings.warmup, settings.objective, settings.seed) == (5.0, ("p95<1s", "rps>1"), 4)
    assert settings.plain
    assert line.scenario.arguments == ("--warmup", "three", "--objective", "four")
    assert line.notes == ()


def test_a_variable_is_always_loadstones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADSTONE_SEED", "5")
    line = line_of("-f", str(scenario_with(tmp_path, "--seed")), "--seed", "six")
    assert (line.settings.seed, line.scenario.arguments) == (5, ("--seed", "six"))


def test_without_such_a_scenario_every_option_is_loadstones(tmp_path: Path):
    line = line_of("-f", str(scenario_with(tmp_path)), "--seed", "6", "--warmup", "2s", "--demo-model", "models:/a/1")
    assert (line.settings.seed, line.settings.warmup, line.settings.demo_model) == (6, 2.0, "models:/a/1")
    assert line.scenario.arguments == ()


@pytest.mark.parametrize(
    ("former", "now"),
    [("--model", "--demo-model"), ("--registry", "--demo-registry"), ("--target-port", "--demo-port")],
)
def test_a_former_option_is_refused_with_its_new_name_unless_the_scenario_declares_it(
    tmp_path: Path, former: str, now: str
):
    with pytest.raises(UsageError, match=f"{former} is now {now}"):
        line_of("-f", str(scenario_with(tmp_path)), former, "8000")
    line = line_of("-f", str(scenario_with(tmp_path, former, name="has_it.py")), former, "8000")
    assert line.scenario.arguments == (former, "8000")


def test_a_former_variable_is_refused_with_its_new_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOADSTONE_TARGET_PORT", "8000")
    with pytest.raises(SettingsError, match="LOADSTONE_TARGET_PORT is now LOADSTONE_DEMO_PORT"):
        load(RunSettings, {})


@pytest.mark.parametrize("option", ["--users", "--host", "--tags"])
def test_an_option_of_locust_cannot_be_declared_again_as_with_locust(tmp_path: Path, option: str):
    with pytest.raises(UsageError, match=f"cannot add its options: .*conflicting option string: {option}"):
        line_of("-f", str(scenario_with(tmp_path, option)))


def test_a_class_named_after_the_file_is_a_class(tmp_path: Path):
    line = line_of("-f", str(scenario_with(tmp_path, "--seed")), "Seller", "--seed", "4")
    assert line.scenario.files == (tmp_path / "declares.py",)
    assert line.scenario.user_classes == ("Seller",)
    with argv_of(line) as argv:
        assert argv["master"][argv["master"].index("Seller") + 1 :][:2] == ["--seed", "4"]


def test_a_class_that_the_scenario_does_not_have_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="Thief is no user class of the scenario, which has Buyer, Seller"):
        line_of("-f", str(scenario_with(tmp_path)), "Thief")


def test_an_abbreviation_of_a_scenarios_option_works_as_with_locust(tmp_path: Path):
    line = line_of("-f", str(scenario_with(tmp_path, "--customers")), "--cust", "4")
    assert line.scenario.arguments == ("--customers", "4")


@pytest.mark.parametrize("option", [name for name in own_options("worker") if name != "--master"])
def test_a_worker_gives_the_scenario_what_it_declares_too(tmp_path: Path, option: str):
    line = line_of("-f", str(scenario_with(tmp_path, option)), option, "mine", verb="worker", worker=True)
    assert line.scenario.arguments == (option, "mine")


def test_a_worker_without_a_scenario_passes_on_what_it_does_not_know():
    words = ("--master", "10.0.0.1", "--page", "/x", "--tags", "a", "Buyer", "--seed=4")
    line = line_of(*words, verb="worker", worker=True)
    assert line.settings.master == "10.0.0.1"
    assert line.scenario.files == ()
    assert line.scenario.arguments == ("--page", "/x", "--seed=4", "--tags", "a", "Buyer")


def test_the_time_to_load_a_scenario_is_a_setting(tmp_path: Path):
    file = tmp_path / "slow.py"
    file.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(UsageError, match=r"did not load within 0.5 s.*--import-timeout"):
        line_of("-f", str(file), "--import-timeout", "500ms")


def test_a_note_names_no_variable_that_does_not_exist(tmp_path: Path):
    line = line_of("-f", str(scenario_with(tmp_path, "--junit", "--seed")), "--junit", "a", "--seed", "b")
    assert [note.partition("own is ")[2] for note in line.notes] == [
        "--loadstone-junit",
        "--loadstone-seed (or LOADSTONE_SEED)",
    ]


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_behind_the_separator_is_refused_as_what_starts_no_test(word: str):
    with pytest.raises(UsageError, match="--help starts no test"):
        line_of("--", word)


@pytest.mark.parametrize("option", ["--tags", "--exclude-tags"])
def test_tags_on_both_sides_of_the_separator_are_refused(tmp_path: Path, option: str):
    file = str(scenario_with(tmp_path))
    with pytest.raises(UsageError, match=f"{option} is given twice"):
        line_of("-f", file, option, "a", "--", option, "b")
    assert line_of("-f", file, "--", option, "b").scenario.arguments == (option, "b")


@pytest.mark.parametrize("option", ["--locustf", "--loc"])
def test_an_abbreviated_locustfile_names_the_scenario(tmp_path: Path, option: str):
    file = scenario_with(tmp_path)
    assert line_of(option, str(file)).scenario.files == (file,)
    assert line_of(f"{option}={file}").scenario.files == (file,)


def test_an_abbreviation_that_turns_out_to_be_the_scenarios_does_not_choose_the_scenario(tmp_path: Path):
    with pytest.raises(UsageError):
        line_of("--loc", str(scenario_with(tmp_path, "--location")))


def test_objectives_that_are_wrong_are_told_before_the_scenario_loads(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "slow.py").write_text("raise SystemExit('it was loaded')")
    assert cli.main(["run", "-f", str(tmp_path / "slow.py"), "--objective", "nonsense"]) == ExitCode.USAGE
    assert "nonsense" in capsys.readouterr().err


def test_no_secret_of_a_wrong_setting_is_printed(capsys: pytest.CaptureFixture):
    assert cli.main(["run", "--stack", "--host", "http://u:hunter2@h:99999"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "h:99999" in said
    assert "hunter2" not in said
