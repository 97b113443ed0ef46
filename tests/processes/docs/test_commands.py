"""Commands of the documentation that this machine can run are run: load tests made short by one rule, others as is."""

from __future__ import annotations

import html
import itertools
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from loadstone.cli.main import main
from loadstone.domain.objective import parse_objectives
from support.docs.checks import expanded
from support.docs.commands import all_commands
from support.docs.places import HERE, place_of
from support.docs.reader import CODES, Reader
from support.docs.shortened import Stage, on_stage, shortened
from support.faulty_influx import FaultyInflux
from support.grafana_double import GrafanaDouble
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.counting_server import CountingServer
    from support.docs.commands import Command
    from support.loadstone_run import LoadstoneRun
    from support.starters import StartRedis

ADDING = frozenset({"--objective", "--workers", "--spawn-rate", "--junit", "--markdown", "--plain"})
"""Options that take nothing away from what a run without them shows."""
WITHOUT_DOCKER = {"--find", "--apply"}
ESCAPED = re.compile(r"\\([^\w\s])")
OF_A_READER = "--config"
"""A load test with the settings file that `init` wrote is one of `test_what_reads_and_writes_runs`."""


def run_here() -> list[Command]:
    """The commands for this file, as the program gets them: those of ``make`` are what it runs."""
    here = [each for each in all_commands() if (place := place_of(each)) and place.test == HERE]
    return [inner for each in here for inner in (expanded(each) if each.program == "make" else [each])]


def grouped(words: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """Each option with its values."""
    starts = [at for at, word in enumerate(words) if word.startswith("-")]
    return frozenset(words[start:end] for start, end in itertools.pairwise([*starts, len(words)]))


def is_part_of(words: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether another load test has all options of this one, and others only that add something to look at."""
    mine, more = grouped(words), grouped(other)
    return mine < more and {group[0] for group in more - mine} <= ADDING


def load_tests() -> dict[str, tuple[str, ...]]:
    """The words of each load test that differs from the others once it is short, by where it stands first."""
    found: dict[tuple[str, ...], str] = {}
    for command in run_here():
        if command.words[1] == "run":
            found.setdefault(shortened(command.words[2:], Stage()), str(command.block))
    different = [words for words in found if not any(is_part_of(words, other) for other in found)]
    return {f"{found[words]} {number}": words for number, words in enumerate(different)}


LOAD_TESTS = load_tests()
APART = {where: words for where, words in LOAD_TESTS.items() if OF_A_READER not in words}
JOINING = dict.fromkeys(on_stage(each.words[2:], Stage()) for each in run_here() if each.words[1] == "worker")
"""The words of commands for other machines: their workers join the run with a Redis that all of them reach."""
(WITH_SETTINGS_FILE,) = [words for words in LOAD_TESTS.values() if OF_A_READER in words]


@pytest.mark.parametrize("words", APART.values(), ids=APART)
def test_a_load_test_of_the_docs_measures_and_judges(
    words: tuple[str, ...],
    folder: Path,
    counting_server: CountingServer,
    start_valkey: StartRedis,
    typed_run: Callable[..., LoadstoneRun],
):
    redis = start_valkey().url if "--redis-url" in words else ""
    stage = Stage(counting_server.url, redis, str(free_port()), str(counting_server.pid))
    joining = [typed_run(*on_stage(each, stage), verb="worker").start() for each in JOINING if redis]
    for worker in joining:
        assert worker.part("locust", "--worker"), "it has read its scenario, and waits for the master"
    run = typed_run(*shortened(words, stage))
    code = run.run()
    sent_home = [worker.finish() for worker in joining]  # 0: by the master that they joined
    assert sent_home == [0 for _ in joining], [worker.output for worker in joining]
    record = run.run_json()
    assert code == CODES[record["verdict"]], run.output
    assert "--objective" in words or record["verdict"] != "fail", run.output
    assert run.rows() == counting_server.count().total > 0
    assert_as_asked(record, words)
    for option in ("--junit", "--markdown"):
        if option in words:
            assert_tells(folder / words[words.index(option) + 1], record)


def values_of(words: tuple[str, ...], option: str) -> list[str]:
    """What is given with an option, which may be there more than once and take several words."""
    found = []
    for at, word in enumerate(words):
        if word == option:
            found += itertools.takewhile(lambda each: not each.startswith("--"), words[at + 1 :])
    return found


def assert_as_asked(record: dict[str, Any], words: tuple[str, ...]) -> None:
    """The run is the one that the words ask for."""
    objectives = values_of(words, "--objective")
    assert [each["text"] for each in record["objectives"]] == [each.text for each in parse_objectives(objectives)]
    ticks = record["contents"]["usage_ticks"]  # in a second there may be none, so the window of a short run has no CPU
    unmeasured = [each["text"] for each in record["objectives"] if each["value"] is None]
    assert [text for text in unmeasured if not (ticks and text.startswith("cpu"))] == []
    for option, key in (("--users", "users"), ("--workers", "workers"), ("--tags", "tags"), ("--rate", "rate")):
        for value in values_of(words, option):
            assert value in str(record[key]), key
    names = {(each["method"], each["name"]) for each in record["summary"]["run"]["names"]}
    assert names <= ({("POST", "/predict")} if "--tags" in words else {("POST", "/predict"), ("GET", "/")})


def assert_tells(file: Path, record: dict[str, Any]) -> None:
    """A file for a CI system names the verdict's objectives."""
    text = html.unescape(ESCAPED.sub(r"\1", file.read_text()))
    assert [each["text"] for each in record["objectives"] if each["text"] not in text] == []
    if file.suffix == ".xml":
        assert len(list(ET.parse(file).getroot().iter("testcase"))) >= len(record["objectives"])


def test_a_load_test_is_run_with_another_one_that_only_adds_to_it():
    one = ("-f", "x.py", "--users", "5")
    assert is_part_of(one, ("--users", "5", "--objective", "p95<1s", "rps>1", "-f", "x.py"))
    assert not is_part_of(one, one)
    assert not is_part_of(one, ("-f", "x.py", "--users", "4", "--plain"))
    assert not is_part_of(one, ("-f", "x.py", "--users", "5", "--warmup", "1s"))


def test_a_command_of_which_nobody_has_said_what_comes_of_it_fails(reader: Reader):
    with pytest.raises(
        AssertionError, match=r"Say in EFFECTS of reader\.py what has to come of `loadstone influx study`"
    ):
        reader.types(("loadstone", "influx", "study"))


PLANS = dict.fromkeys(
    command.words
    for command in all_commands()
    if command.words[1:2] == ("capacity",) and WITHOUT_DOCKER & {*command.words}
)


@pytest.mark.parametrize("words", PLANS, ids=" ".join)
def test_a_study_of_the_docs_can_be_planned(
    words: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    assert main(["capacity", "plan", *words[2:]]) == 0
    told = capsys.readouterr().out
    assert re.search("^to find: the (most users|most arrivals a second|cheapest limits)", told)
    assert "\ntrials: " in told


@pytest.fixture
def reader(
    folder: Path,
    counting_server: CountingServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reader]:
    """Somebody who is about to make two load tests, with what stands for Grafana, InfluxDB and the engine's socket."""
    monkeypatch.setenv("DOCKER_SOCKET", "/dev/null")
    with GrafanaDouble() as grafana, FaultyInflux() as influx:
        yield Reader(folder, counting_server.url, (grafana, influx), capsys)


@pytest.mark.timeout(240)
def test_what_reads_and_writes_runs_does_so(reader: Reader, typed_run: Callable[..., LoadstoneRun]):
    for _ in range(2):
        run = typed_run(*shortened(WITH_SETTINGS_FILE, Stage()))
        run.folder = reader.folder
        assert run.run() in CODES.values(), run.output
    reader.has_made_runs()
    rest = dict.fromkeys(command.words for command in run_here() if command.words[1] not in {"run", "worker"})
    assert len(rest) > 10
    for words in rest:
        reader.types(words)
