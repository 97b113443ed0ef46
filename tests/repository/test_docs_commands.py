"""Every command in the documentation is understood, and is in a category that says which test runs it."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from loadstone.cli.study_plan import print_plan
from loadstone.domain.objective import parse_objectives
from loadstone.settings import FILE_RECORDS, RunSettings, describe, load
from support.docs.blocks import ROOT, Block, all_blocks, blocks, pages, spans
from support.docs.checks import expanded, mention_problems, problems, settings_of
from support.docs.commands import Command, all_commands, commands, is_script
from support.docs.compose_words import override_problems
from support.docs.places import HERE, ONLY_PARSED, PARSED, PLACES, Place, place_of, unplaced
from support.docs.shortened import Stage, excess, shortened
from support.docs.world import make_folder

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGES = {"sh", "bash", "console", "python", "sql", "toml", "yaml", "text"}
"""`text` is what is not typed: output, or a notation."""
OBJECTIVES = "docs/reference/objectives.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(make_folder(tmp_path))
    return tmp_path


def typed(text: str, language: str = "sh") -> list[Command]:
    """The commands of a page that does not exist."""
    return list(commands(Block("docs/new.md", 7, language, text)))


def test_every_command_of_the_docs_is_understood(folder: Path):
    found = all_commands()
    assert len(found) > 80
    assert {str(each): wrong for each in found if (wrong := problems(each, folder))} == {}


def test_every_command_that_a_sentence_mentions_has_a_verb_and_options_that_exist():
    found = [span for page in pages() for span in spans(page, (ROOT / page).read_text())]
    assert len(found) > 1000
    assert {f"{span}: {span.text}": wrong for span in found if (wrong := mention_problems(span))} == {}


def test_every_command_that_the_program_or_its_settings_mention_has_a_verb_and_options_that_exist():
    sources = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".js", ".template"}]
    found = [
        span
        for path in [*sources, ROOT / "env", ROOT / "docker-compose.yaml", ROOT / "CHANGELOG.md"]
        for span in spans(str(path.relative_to(ROOT)), path.read_text())
        if span.text.startswith(("loadstone ", "make ")) and "{" not in span.text
    ]
    assert len(found) > 50
    assert {f"{span}: {span.text}": wrong for span in found if (wrong := mention_problems(span))} == {}


def test_the_workflow_that_init_writes_runs_a_command_that_is_understood(folder: Path):
    workflow = files("loadstone.cli").joinpath("starter", "workflow.template").read_text()
    (command,) = commands(Block("workflow.template", 1, "yaml", workflow))
    assert command.words[:2] == ("loadstone", "run")
    assert problems(command, folder) == []


def test_every_command_of_the_docs_is_in_a_category_that_says_which_test_runs_it():
    assert list(unplaced(all_commands())) == []


def test_every_category_has_commands_and_a_test_that_exists():
    used = {place_of(command) for command in all_commands()}
    assert [place for place in PLACES if place not in used] == []
    assert [place for place in PLACES if bool(place.reason) == (place.test == HERE)] == []
    assert [place for place in PLACES if not (ROOT / place.test).is_file()] == []


@pytest.mark.parametrize("place", [place for place in PLACES if place.test != HERE], ids=lambda place: place.pattern)
def test_the_test_that_a_category_names_holds_what_proves_that_it_runs_such_a_command(place: Place):
    assert place.proof
    assert place.proof in (ROOT / place.test).read_text()
    assert place.reason.startswith(ONLY_PARSED) == (place.test == PARSED), "one that is run nowhere says so"


def test_every_block_says_what_it_is():
    assert [str(block) for block in all_blocks() if block.language not in LANGUAGES] == []


def test_scripts_are_ones_for_the_shell():
    scripts = [block for block in all_blocks() if is_script(block)]
    assert len(scripts) == 2
    for script in scripts:
        subprocess.run(["sh", "-n"], input=script.text, text=True, check=True)


def test_python_of_the_docs_compiles():
    for block in all_blocks():
        if block.language == "python":
            compile(block.text, str(block), "exec")


def test_objectives_in_blocks_are_ones():
    (block, *_) = [each for each in all_blocks() if each.page == OBJECTIVES and "p95<500ms" in each.text]
    lines = block.text.splitlines()
    assert len(lines) > 5
    assert len(parse_objectives(lines)) == len(lines)


def test_the_plan_of_a_study_is_what_its_command_would_say(folder: Path, capsys: pytest.CaptureFixture[str]):
    page = [block for block in all_blocks() if block.page == "docs/how-to/find-the-smallest-server.md"]
    asked, plan = page[:2]
    (command,) = commands(asked)
    print_plan(settings_of(command, folder))
    assert capsys.readouterr().out == plan.text


def test_settings_files_in_blocks_hold_settings():
    import tomllib

    shared = {each.name for record in FILE_RECORDS for each in describe(record)}
    for block in all_blocks():
        if block.language == "toml":
            load(RunSettings, environ={}, file=tomllib.loads(block.text), shared=shared)


def test_compose_files_over_that_of_the_stack_name_its_services_and_networks():
    overrides = [block for block in all_blocks() if block.language == "yaml" and block.text.startswith("services:")]
    assert len(overrides) == 1
    assert [wrong for block in overrides for wrong in override_problems(block.text)] == []
    assert list(override_problems("services: {locust: {networks: [nowhere]}}")) == [
        "docker-compose.yaml has no service locust",
        "docker-compose.yaml has no network nowhere",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loadstone run -f my_locustfile.py --peak 5", "knows --peak 5"),
        ("loadstone start -u 5", "invalid choice: 'start'"),
        ("loadstone show latest --newest 3", "unrecognized arguments: --newest 3"),
        ("loadstone run -f scenario.py --objective 'p95<500'", "p95<500"),
        ("loadstone run --host http://x --objective 'mem(target)<1GiB'", "never measured without --target-pid"),
        ("loadstone run --run-time soon", "--run-time is 'soon'"),
        ("loadstone run --rate 5/s -u 5", "are two models"),
        ("loadstone run --config nowhere.toml", "nowhere.toml"),
        ("loadstone compare A B --objective 'p95<=5 parsecs'", "p95<=5 parsecs"),
        ("loadstone capacity --find speed --objective 'p95<1s'", "--find is 'speed'"),
        ("loadstone capacity --users 5 --objective 'p95<1s'", "nothing says what to find"),
        ("loadstone capacity shows latest", "knows shows latest"),
        ("loadstone influx study latest --influx-url influx", "--influx-url is 'influx'"),
        ("sudo loadstone run --no-such 1", "knows --no-such 1"),
        ("make start", "No rule to make target"),
        ('make run ARGS="--peak 5"', "knows --peak 5"),
        ("docker compose up --scale worker=2", "has no service worker"),
        ("docker compose up --scale", "expected one argument"),
        ("docker compose up grafana influx", "has no service influx"),
        ("docker compose --profile big up", "has no profile big"),
        ("docker compose --env-file .env.big up", "there is no file .env.big"),
        ("docker compose restart", "invalid choice: 'restart'"),
        ("TARGET_HOST=http://x docker compose up", "knows the variable TARGET_HOST"),
        ("TARGET_MEMORY=lots docker compose up", "TARGET_MEMORY is 'lots'"),
        ("docker compose run --rm cli runs --newst 3", "unrecognized arguments: --newst 3"),
        ("docker compose run --rm cli run --workers 3", "--workers cannot be used with --stack"),
        ("docker compose exec collector python -P -m loadstone influx studies", "invalid choice: 'studies'"),
        ("python -m inference learn", "does not understand learn"),
    ],
)
def test_a_wrong_command_is_found(folder: Path, capfd: pytest.CaptureFixture[str], text: str, said: str):
    (command,) = typed(text)
    wrong = problems(command, folder)
    assert len(wrong) == 1
    assert said in wrong[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loadstone start", "no verb start"),
        ("loadstone grafana pull", "no action pull"),
        ("loadstone export RUN --with requests", "no option --with"),
        ("loadstone run ... --peak 5", "no option --peak"),
        ("make tset", "No rule to make target"),
        ("docker compose logs welcom", "no service welcom"),
    ],
)
def test_a_wrong_mention_is_found(text: str, said: str):
    (wrong,) = mention_problems(Block("docs/new.md", 7, "", text))
    assert said in wrong


def test_a_command_of_a_new_kind_fails_with_what_to_do():
    (said,) = unplaced(typed("loadstone collector --only writer"))
    assert said.startswith("docs/new.md:7: loadstone collector --only writer is run by no test. Add its kind to PLACES")
    assert list(unplaced(typed("loadstone show latest"))) == []


def test_commands_are_taken_out_of_prompts_comments_continued_lines_and_what_joins_them():
    text = """\
    # first this
    A=1 B=$(id -u) loadstone run -u 5 \\
      --objective 'p95<500ms' || echo "exit code $?"   # then that
    docker compose run x > token 2>/dev/null
    loadstone grafana annotate latest [--board UID] | head
    """
    assert [(each.variables, each.words) for each in typed(text)] == [
        (("A=1", "B=1000"), ("loadstone", "run", "-u", "5", "--objective", "p95<500ms")),
        ((), ("echo", "exit code $?")),
        ((), ("docker", "compose", "run", "x")),
        ((), ("loadstone", "grafana", "annotate", "latest", "--board", "UID")),
        ((), ("head",)),
    ]
    assert [each.words for each in typed("$ loadstone \\\n  runs\nwhat it says\n", "console")] == [
        ("loadstone", "runs")
    ]
    assert typed("#!/bin/sh\nloadstone runs\n") == []
    assert typed("loadstone runs", "text") == []
    assert [each.words for each in typed("a: [{run: 'ls; loadstone runs'}]", "yaml")] == [("loadstone", "runs")]


def test_blocks_and_spans_of_a_page_are_found_with_their_lines():
    page = "# Title\n`one` and ``two``\n\n- list\n\n  ```sh\n  ls `pwd`\n  ```\n\n```\nx\n```\n"
    assert list(blocks("p.md", page)) == [Block("p.md", 7, "sh", "ls `pwd`\n"), Block("p.md", 11, "", "x\n")]
    assert list(spans("p.md", page)) == [Block("p.md", 2, "", "one")]
    with pytest.raises(ValueError, match=r"p\.md:2 does not end"):
        list(blocks("p.md", "```sh\nls\n"))


def test_a_place_counts_for_its_page_only():
    (command,) = typed("ls results")
    assert Place("ls .*", "t.py").holds(command)
    assert not Place("ls", "t.py").holds(command)
    assert not Place("ls .*", "t.py", page="docs/other.md").holds(command)


@pytest.mark.parametrize(
    ("words", "short"),
    [
        (
            "-u 500 -r 50 --warmup 20s --steady-state 3m",
            "--users 5 --spawn-rate 5 --warmup 1s --steady-state 3s",
        ),
        (
            "--host https://a.test/x -t 1h --workers 8",
            "--host http://target.test --run-time 3s --workers 2 --users 5 --spawn-rate 5",
        ),
        ("--rate 500/s --objective p95<5m", "--rate 20/s --objective p95<5m --run-time 3s"),
        ("--rate 5/s --over 300ms", "--rate 5/s --over 0.3s"),
        ("--users 3 -t 500ms", "--users 3 --run-time 0.5s"),
        ("--users 3", "--users 3 --run-time 3s"),
        ("--users=500 --run-time=5m", "--users 5 --run-time 3s"),
        ("--users USERS -t TIME", "--users 5 --run-time 3s"),
        ("-u 1 -t 1m30s --warmup 90", "--users 1 --run-time 3s --warmup 1s"),
        ("-u 1 -t 600", "--users 1 --run-time 3s"),
        ("--rate 600/m --over 5m", "--rate 600/m --over 3s"),
        ("--rate 30000/m 90000/h 1.5/s", "--rate 20/s 20/s 1.5/s --run-time 3s"),
        ("--rate 500/s --max-users 900", "--rate 20/s --max-users 5 --run-time 3s"),
        (
            "--bind 192.0.2.1 --redis-url x --over 1s -u 1",
            "--bind 127.0.0.1 --redis-url redis://redis.test --over 1s --users 1",
        ),
        ("--master 192.0.2.1 --run-time 1s -u 1", "--master 127.0.0.1 --run-time 1s --users 1"),
        ("--target-pid $PID --master-port 1 -t 1s -u 1", "--target-pid 1 --master-port 5557 --run-time 1s --users 1"),
    ],
)
def test_a_load_test_is_made_short_by_one_rule(words: str, short: str):
    assert " ".join(shortened(words.split(), Stage())) == short


def test_stages_of_a_rate_and_what_a_settings_file_says_are_made_short_too():
    assert shortened(["--rate", "0/s..500/s over 1m"], Stage()) == ("--rate", "0/s..20/s over 3s")
    assert shortened(["--config", "load.toml"], Stage())[-2:] == ("--steady-state", "3s")


def load_tests() -> list[Command]:
    """Those of the docs that `test_commands.py` runs, as the program gets them."""
    here = [each for each in all_commands() if (place := place_of(each)) and place.test == HERE]
    inner = [one for each in here for one in (expanded(each) if each.program == "make" else [each])]
    return [each for each in inner if each.words[1] == "run"]


@pytest.mark.parametrize("command", load_tests(), ids=str)
def test_a_load_test_that_was_made_short_is_short(folder: Path, command: Command):
    short = command._replace(words=("loadstone", "run", *shortened(command.words[2:], Stage())))
    assert list(excess(settings_of(short, folder))) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--users 6 -t 3s", "it has 6 users, more than 5"),
        ("-t 3s", "it has 50 users, more than 5"),
        ("-u 1", "nothing says how long it lasts"),
        ("-u 1 -t 4s", "a part of it lasts 4 s, more than 3"),
        ("-u 1 --steady-state 2s --warmup 2s", "its warm-up lasts 2 s, more than 1"),
        ("--rate 1201/m -t 1s", "20.0167 iterations arrive a second, more than 20"),
        ("--rate 5/s --over 4s", "a part of it lasts 4 s, more than 3"),
    ],
)
def test_a_load_test_that_is_not_short_is_found(folder: Path, words: str, said: str):
    (command,) = typed(f"loadstone run -f scenario.py {words}")
    assert list(excess(settings_of(command, folder))) == [said]
