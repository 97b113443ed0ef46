"""The command line of `loadstone capacity` from end to end: what is refused, what is kept, and how a study ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.loadstone_run import CALM, SCENARIOS
from support.processes import free_port, port_answers
from support.study_runs import study_of, trials_of

if TYPE_CHECKING:
    from support.loadstone_run import LoadstoneRun

OBJECTIVES = ("--objective", "failures<=20%", *CALM)
QUICK = ("--measure", "2s", "--warmup", "0s", "-r", "100", "--workers", "1")
ONE = ("--cpu", "1", "--memory", "512m", "-u", "5")
USERS = ("--find", "users", *OBJECTIVES, "--at-least", "20", "--at-most", "20")
SERVED = Path(__file__).with_name("served_target.py")
SET_LIMITS = Path(__file__).with_name("set_limits.py")
NOWHERE = "http://127.0.0.1:9"


def command(*words: object) -> str:
    """A command for the shell that runs a script with this Python."""
    return shlex.join([sys.executable, *map(str, words)])


def resumed(new_run: Any, run: LoadstoneRun, *words: str) -> LoadstoneRun:
    """`loadstone capacity --resume latest` with the results of another one."""
    made: LoadstoneRun = new_run(None, "--resume", "latest", *words, verb="capacity")
    made.folder = run.folder
    return made


@pytest.fixture
def served(tmp_path: Path):
    """Port, the file with the process id, and the two commands of a server that only these commands start and end."""
    port, pids = free_port(), tmp_path / "served.pid"
    yield port, command(SERVED, "start", port, pids), command(SERVED, "stop", pids)
    if pids.exists():
        os.kill(int(pids.read_text()), signal.SIGKILL)


@pytest.mark.timeout(200)
def test_a_target_that_only_the_apply_command_starts_is_looked_for_then(new_run, served):
    port, apply, restore = served
    ways = ("--apply", apply, "--restore", restore, "--host", f"http://127.0.0.1:{port}")
    run = new_run("crowded", *ways, *ONE, *OBJECTIVES, *QUICK, verb="capacity")
    assert run.start().finish(150) == 0, run.output
    assert len(study_of(run)["trials"]) >= 3
    assert not port_answers(port), "--restore has ended it"


def test_a_target_that_the_apply_command_does_not_start_ends_the_study(new_run):
    host = f"http://127.0.0.1:{free_port()}"
    run = new_run("crowded", "--apply", "true", "--host", host, *ONE, *OBJECTIVES, *QUICK, verb="capacity")
    assert run.run() == 2, run.output
    assert f"the host {host} of the user class" in run.output
    assert "goes on" not in run.output, "nothing was measured from which it could go on"


def test_usage_that_the_apply_command_does_not_report_ends_the_study_before_the_first_run(new_run, served):
    port, apply, restore = served
    ways = ("--apply", apply, "--restore", restore, "--host", f"http://127.0.0.1:{port}")
    run = new_run("crowded", *ways, *ONE, "--objective", "cpu(target)<90%", *QUICK, verb="capacity")
    assert run.run() == 2, run.output
    assert (
        "the objective cpu(target)<90% needs CPU and memory of target, and --apply reports no process of it on this"
        " machine. Let it report pids, or leave the objective out\n"
    ) in run.output
    assert [path.name for path in run.results.iterdir()] == ["studies"]


@pytest.mark.timeout(200)
def test_a_restore_that_fails_does_not_hide_the_answer(new_run, counting_server, tmp_path):
    log = tmp_path / "limits.log"
    ways = ("--apply", command(SET_LIMITS, counting_server.url, log), "--restore", "echo no way back; exit 3")
    files = ("--json", str(tmp_path / "study.json"))
    run = new_run("limited", "--host", counting_server.url, *ways, *ONE, *OBJECTIVES, *QUICK, *files, verb="capacity")
    assert run.start().finish(150) == 4, run.output
    assert "1 replica with 1 CPU and 512m of memory is enough for 5 users" in " ".join(run.output.split())
    assert json.loads((tmp_path / "study.json").read_text())["answer"]["proved"] is True
    study = study_of(run)
    last = run.output.splitlines()[-1]
    assert last.startswith("loadstone: --restore failed (exit 3), so limits of a trial may still hold: no way back. ")
    assert last.endswith(
        f"Once that is mended, `loadstone capacity --resume {study['id']} --results {run.results.resolve()}` goes on"
    )
    assert study["before"] is not None


@pytest.mark.timeout(200)
def test_a_study_is_resumed_from_another_folder(new_run, counting_server, tmp_path):
    (tmp_path / "own.py").write_text((SCENARIOS / "crowded.py").read_text())
    run = new_run(None, "-f", "own.py", "--host", counting_server.url, *USERS, *QUICK, verb="capacity")
    run.cwd = tmp_path
    assert run.start().finish(150) == 0, run.output
    again = resumed(new_run, run)
    again.cwd = tmp_path.parent
    assert again.start().finish(60) == 0, again.output
    assert study_of(run)["words"][:2] == ["-f", str(tmp_path / "own.py")]


@pytest.mark.timeout(200)
def test_a_study_that_variables_began_is_resumed_with_them(new_run, counting_server):
    run = new_run("crowded", *QUICK, verb="capacity")
    run.arguments = ()
    asked = {"FIND": "users", "OBJECTIVE": "failures<=20%\np99<60s", "AT_LEAST": "20", "AT_MOST": "20"}
    quick = {"MEASURE": "2s", "WARMUP": "0s", "SPAWN_RATE": "100", "WORKERS": "1"}
    scenario = {"LOCUSTFILE": str(SCENARIOS / "crowded.py"), "HOST": counting_server.url}
    run.variables = {f"LOADSTONE_{name}": value for name, value in (asked | quick | scenario).items()}
    assert run.start().finish(150) == 0, run.output
    again = resumed(new_run, run)
    again.variables = run.variables
    assert again.start().finish(60) == 0, again.output
    bare = resumed(new_run, run)
    assert bare.run() == 2, bare.output
    assert "has no options of its own: variables or a settings file gave them" in bare.output


@pytest.mark.timeout(200)
def test_the_time_of_earlier_sessions_counts_for_the_budget(new_run, counting_server):
    run = new_run("crowded", "--host", counting_server.url, *USERS, *QUICK, "--trials", "1", verb="capacity")
    assert run.run() == 2, run.output
    assert "1 trial cannot decide this: it takes " in run.output
    question = ("--find", "users", *OBJECTIVES, "-u", "20", *QUICK)
    run = new_run("crowded", "--host", counting_server.url, *question, verb="capacity").start()
    run.wait_for(lambda: len(trials_of(run)) >= 2 or None, timeout_s=120)
    run.kill_everything()
    made = len(study_of(run)["trials"])
    again = resumed(new_run, run, "--budget", "40s")
    assert again.start().finish(60) == 3, again.output
    assert "there was no time left in the budget" in " ".join(again.output.split())
    assert len(study_of(run)["trials"]) == made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rig", "cgroup", *ONE, "--replicas", "1..2"), "the demo target on this machine has one replica only"),
        (("--apply", "true", *ONE), "--apply limits your target, and the load goes to loadstone's own demo target."),
        (("--find", "users", "--objective", "cpu(api)<80%"), "only those of target will be recorded"),
    ],
)
def test_what_is_refused_leaves_no_folder_and_a_plan_is_refused_too(new_run, arguments, said):
    for verb in ("capacity", "capacity plan"):
        run = new_run(None, *arguments, *CALM, verb=verb)
        assert run.run() == 2, run.output
        assert said in run.output
        assert "--resume" not in run.output
        assert not list(run.results.glob("studies/*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense is no user class of the scenario"),
        (("--json", "file"), "a plan is made before a study begins, so --json has no use"),
        (("--resume", "latest"), "a plan is made before a study begins, so --resume has no use"),
    ],
)
def test_a_plan_has_no_use_for_this(new_run, arguments, said):
    run = new_run("crowded", "--host", NOWHERE, *CALM, "--find", "users", *arguments, verb="capacity plan")
    assert run.run() == 2, run.output
    assert said in run.output


@pytest.mark.parametrize("verb", ["run", "capacity", "capacity plan"])
def test_an_option_that_nobody_knows_is_answered_with_the_help_of_the_command_that_was_typed(new_run, verb):
    question = () if verb == "run" else ("--find", "users")
    run = new_run("crowded", "--host", NOWHERE, *CALM, *question, "--bogus", verb=verb)
    assert run.run() == 2, run.output
    assert "--bogus" in run.output
    assert f"`loadstone {verb} --help` lists every option" in " ".join(run.output.split())


def test_a_plan_says_all_that_a_study_would_try(new_run):
    only = ("--find", "users", "--objective", "p95<1s", "--at-least", "40", "--at-most", "40", *QUICK)
    run = new_run("crowded", "--host", NOWHERE, *only, verb="capacity plan")
    assert run.run() == 0, run.output
    longer = (
        "near its limit p95<1s needs 1,000 requests to be decided: where they take longer, a trial lasts up to 10 min"
    )
    assert run.output.splitlines() == [
        "to find: the most users, from 40 to 40, with p95<1s and failures<=1%",
        "first trial: 40 users",
        "trials: 3, if none has to be repeated",
        "time: 1 min",
        longer,
    ]


def test_limits_of_the_stack_are_refused_for_a_scenario_that_is_here(new_run):
    run = new_run("crowded", *ONE, *CALM, verb="capacity")
    assert run.run() == 2, run.output
    assert run.output == (
        "loadstone: without --apply or --compose-file the limits are those of loadstone's stack, which has its own"
        " scenario. Say with --apply or --compose-file how your own target gets its limits, or leave -f out\n"
    )
    run = new_run(None, *ONE, *CALM, "--workers", "7", verb="capacity")
    assert run.run() == 2, run.output
    assert "which has its own scenario: --workers cannot be used there. Scale the stack: " in run.output


def test_a_plan_has_a_help_of_its_own(new_run):
    run = new_run(None, "--help", verb="capacity plan")
    assert run.run() == 0, run.output
    assert run.output.startswith("usage: loadstone capacity plan [OPTION ...]")
    assert "--at-most" in run.output
    assert "--json" not in run.output
