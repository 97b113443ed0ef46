"""`loadstone capacity` in the stack: a small study ends with a proof, survives `kill -9`, and restores the limits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.compose_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.compose_stack import ComposeStack

USERS = 120
STUDY_S = 900
HEAVY = ROOT / "tests" / "stack" / "heavy.py"
QUESTION = (
    *("-u", str(USERS), "-r", "40", "--objective", "p95<700ms", "--objective", "failures<=10%"),
    *("--cpu", "0.25,0.75", "--memory", "512m,768m", "--replicas", "1..2", "--price-replica", "0.05"),
    *("--measure", "8s", "--warmup", "3s"),
)


@pytest.fixture(scope="module")
def loaded(shared_stack: ComposeStack) -> Iterator[ComposeStack]:
    """The stack with requests that take much of a target's CPU, one replica of it, and two workers."""
    stack = shared_stack
    usual = stack.settings["SCENARIO"]
    shutil.copy(HEAVY, stack.scenario)
    stack.settings["SCENARIO"] = HEAVY.name
    try:
        stack.up(target=1, locust_worker=2)
        yield stack
    finally:
        stack.settings["SCENARIO"] = usual


def start(stack: ComposeStack, *arguments: str) -> subprocess.Popen[str]:
    """`loadstone capacity` on this machine, in a process group of its own."""
    where = ["--stack-url", stack.locust, "--results", str(stack.results)]
    return subprocess.Popen(
        [sys.executable, "-m", "loadstone", "capacity", *where, *arguments],
        cwd=ROOT,
        env={**stack.engine.environment, "COMPOSE_PROJECT_NAME": stack.project},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def study_of(stack: ComposeStack) -> dict[str, Any]:
    """The only study, as far as it has come; empty before it has begun."""
    found = list((stack.results / "studies").glob("*/study.json"))
    study: dict[str, Any] = json.loads(found[0].read_text()) if found else {}
    return study


def limits_of(stack: ComposeStack) -> list[tuple[int, int]]:
    """Nanocores and bytes of the target's replicas."""
    return [(each["HostConfig"]["NanoCpus"], each["HostConfig"]["Memory"]) for each in stack.by_service()["target"]]


@pytest.mark.timeout(1800)
def test_a_study_that_was_killed_goes_on_to_a_proof_and_puts_the_limits_back(loaded: ComposeStack):
    stack, before = loaded, limits_of(loaded)
    others = other_containers(stack)
    killed = start(stack, *QUESTION)
    deadline = time.monotonic() + STUDY_S
    while len(study_of(stack).get("trials", ())) < 2:
        assert killed.poll() is None, killed.communicate()[0]
        assert time.monotonic() < deadline, "the study makes no trials"
        time.sleep(0.5)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    made = study_of(stack)["trials"]
    assert limits_of(stack) != before

    resumed = start(stack, "--resume", "latest")
    output, _ = resumed.communicate(timeout=STUDY_S)
    assert resumed.returncode == 0, output
    study = study_of(stack)
    assert study["trials"][: len(made)] == made
    answer = study["answer"]
    assert (answer["proved"], answer["smaller_fails"]) == (True, True), output
    smaller = {**answer["setting"], "cpu_cores": 0.25}
    assert [each["finding"] for each in answer["smaller"] if each["setting"] == smaller] == ["fails"]
    check_trials(stack, study)
    assert limits_of(stack) == before
    assert other_containers(stack) == others


def check_trials(stack: ComposeStack, study: dict[str, Any]) -> None:
    """Each trial ran under its limits, and its run says so."""
    assert study["calibration"]["worker_cpu_pct"] < 70
    for trial in study["trials"]:
        assert trial["read_back"] == "the Docker Engine"
        if trial["outcome"] == "invalid":
            continue
        run = stack.archived(trial["run"])
        limits = run["limits"]["target"]
        assert (limits["cpu_cores"], limits["replicas"]) == (
            trial["setting"]["cpu_cores"],
            trial["setting"]["replicas"],
        )
        assert run["target"]["mode"] == "compiled"
        used = run["usage"]["target"]
        assert used["cpu_limit"] == pytest.approx(trial["setting"]["cpu_cores"] * trial["setting"]["replicas"])
        assert trial["peak_mem_bytes"] <= trial["setting"]["mem_bytes"]


def other_containers(stack: ComposeStack) -> set[str]:
    """Ids of all containers but the target's."""
    return {each["Id"] for service, found in stack.by_service().items() if service != "target" for each in found}
