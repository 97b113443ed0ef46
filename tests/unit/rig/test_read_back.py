"""What a command reports of the limits it set."""

from __future__ import annotations

from mmap import PAGESIZE

import pytest

from loadstone.errors import UsageError
from loadstone.host.cgroup import Limits
from loadstone.rig.command import environment_of
from loadstone.rig.read_back import Report, check_groups, check_limits, check_report, read_report
from loadstone.rig.rig import LimitsDifferError, Setting

MIB = 1024**2
ASKED = Setting(cpu_cores=0.5, mem_bytes=512 * MIB, replicas=2)


def test_the_command_gets_cores_bytes_mib_and_replicas():
    assert environment_of(Setting(0.25, 600 * MIB + 7, 3)) == {
        "CPU": "0.25",
        "MEMORY": str(600 * MIB + 7),
        "MEMORY_MIB": "600",
        "REPLICAS": "3",
    }


@pytest.mark.parametrize("output", ["", "\n", "deployment is ready", '{"cpu": 1}\nready'])
def test_a_last_line_that_is_no_object_reports_nothing(output: str):
    assert read_report(output) == Report()


def test_the_report_is_the_last_line():
    output = 'rolled out\n{"cpu": "500m", "memory": "512Mi", "replicas": 2, "identity": {"image": "a"}}\n\n'
    found = read_report(output)
    assert found == Report(cpu="500m", memory="512Mi", replicas=2, identity={"image": "a"})
    assert found.told() == "cpu, memory, replicas"


@pytest.mark.attack(kind="a report of --apply that makes no sense", outcome="refused with what is allowed")
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{cpu: 1}", id="no-json"),
        pytest.param('{"cpus": 1}', id="unknown-key"),
        pytest.param('{"cpu": []}', id="wrong-type"),
        pytest.param('{"pids": "12"}', id="pids-no-list"),
        pytest.param('{"host": "localhost:80"}', id="host-without-scheme"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(line: str):
    with pytest.raises(UsageError, match=r"must begin with http|It may be a JSON object with cpu"):
        read_report(line)


@pytest.mark.parametrize("memory", [512 * MIB, str(512 * MIB), "512m", "512MiB", "0.5g", "512Mi", "524288k"])
@pytest.mark.parametrize("cpu", [0.5, "0.5", "500m", 0.504])
def test_the_same_limits_may_be_written_in_many_ways(cpu: float | str, memory: int | str):
    check_report(Report(cpu=cpu, memory=memory, replicas=2), ASKED)


@pytest.mark.attack(kind="a command for --apply that lies about limits", outcome="refused")
@pytest.mark.parametrize(
    ("report", "said"),
    [
        pytest.param(Report(cpu=0.51), "reports 0.51 CPU", id="cpu"),
        pytest.param(Report(memory=512 * MIB + PAGESIZE), "reports 524292k", id="memory-a-page-more"),
        pytest.param(Report(cpu=1, memory="1g", replicas=1), "1 CPU and 1g and 1 replicas", id="everything"),
    ],
)
def test_other_limits_than_those_asked_for_are_refused(report: Report, said: str):
    with pytest.raises(LimitsDifferError, match=said):
        check_report(report, ASKED)


@pytest.mark.parametrize("report", [Report(cpu="half"), Report(memory="much"), Report(memory="512 apples")])
def test_limits_that_are_no_numbers_are_refused(report: Report):
    with pytest.raises(UsageError, match="it must be"):
        check_report(report, ASKED)


def test_limits_of_a_group_are_compared_to_a_page():
    check_limits(Limits(0.5, 512 * MIB - PAGESIZE + 1), ASKED, "it")
    with pytest.raises(LimitsDifferError, match=r"its control group has any number of CPUs and 512m"):
        check_limits(Limits(None, 512 * MIB), ASKED, "it")
    with pytest.raises(LimitsDifferError, match=r"its control group has 0.5 CPU and any amount of memory"):
        check_limits(Limits(0.5, None), ASKED, "it")


def test_a_process_that_is_gone_has_no_limits_to_read():
    with pytest.raises(UsageError, match="the limits of process 4194305"):
        check_groups([2**22 + 1], ASKED)
