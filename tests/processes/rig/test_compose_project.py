"""ComposeRig: what it asks of Docker, and what it refuses before anything is changed; the program docker is a double.

Real containers are in tests/stack/test_service_rig.py.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from loadstone.cli.study_checks import refuse_unrecorded_usage
from loadstone.errors import PlatformError, UsageError
from loadstone.launch.scenario import Scenario
from loadstone.rig.compose_project import ComposeRig
from loadstone.rig.docker import Docker
from loadstone.rig.rig import BrokeAtStart, LimitsDifferError, Setting, StartFailedError
from loadstone.settings import CapacitySettings, load
from support.docker_double import DockerDouble

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024**2
SMALL = Setting(0.25, 128 * MIB, 1)
HASH = "h" * 64
API: dict[str, Any] = {"image": "shop/api:1", "cpus": 1, "mem_limit": str(512 * MIB)}


def described(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A running container as `docker inspect` describes it."""
    cores, memory = changes.get("cores", 1.0), changes.get("memory", 512 * MIB)
    host = {"NanoCpus": int(cores * 1e9), "CpuQuota": 0, "CpuPeriod": 0, "Memory": memory, "MemorySwap": memory}
    labels = {"com.docker.compose.config-hash": HASH, "com.docker.compose.project": "shop"}
    state = {"Status": "running", "OOMKilled": False, "ExitCode": 0, "Health": {"Status": "healthy"}}
    return {
        "Id": f"id{number}",
        "Name": f"/shop-api-{number}",
        "Image": "sha256:ab",
        "RestartCount": 0,
        "State": {**state, **changes.get("state", {})},
        "HostConfig": host,
        "Config": {"Image": "shop/api:1", "Labels": {**labels, **changes.get("labels", {})}},
    }


@pytest.fixture
def double(tmp_path: Path) -> DockerDouble:
    """An engine with the project shop: one replica of api, and a service that is not up."""
    double = DockerDouble(tmp_path / "bin")
    double.answer("version", "28.0")
    double.answer("context inspect", "unix:///run/engine.sock")
    double.answer("config --format json", {"name": "shop", "services": {"api": API, "db": {"image": "db"}}})
    double.answer("config --hash api", f"api {HASH}\n")
    double.answer("config --hash db", f"db {HASH}\n")
    double.answer("ps -aq", "")
    double.answer("service=api", "id1\n")
    double.answer("container inspect id1", [described()])
    double.answer("image inspect", [{"RepoDigests": ["shop/api@sha256:ef"]}])
    double.answer("info", {"NCPU": 4, "MemTotal": 8 * 1024 * MIB})
    double.answer(" up ", "")
    return double


@pytest.fixture
def rig(double: DockerDouble, tmp_path: Path) -> ComposeRig:
    return rig_of(double, tmp_path)


def rig_of(double: DockerDouble, folder: Path, service: str = "api", **options: Any) -> ComposeRig:
    return ComposeRig.of_files([folder / "a.yaml", folder / "b.yaml"], service, double.docker, **options)


def hears_of(setting: Setting, double: DockerDouble, **changes: Any) -> None:
    """From now on the engine says that containers with these limits run."""
    ids = [f"id{number}" for number in range(1, setting.replicas + 1)]
    double.answer("service=api", "\n".join(ids))
    for number, id_ in enumerate(ids, 1):
        limits = {"cores": setting.cpu_cores, "memory": setting.mem_bytes}
        double.answer(f"container inspect {id_}", [described(number, **{**limits, **changes})])


def never() -> bool:
    return False


def test_a_setting_is_applied_by_a_file_beside_the_users_and_to_one_service_only(
    rig: ComposeRig, double: DockerDouble, tmp_path: Path
):
    setting = Setting(0.25, 128 * MIB, 2)
    hears_of(setting, double)
    applied = rig.apply(setting, never)
    (up,) = double.calls("up")
    files = [up[at + 1] for at, word in enumerate(up) if word == "-f"]
    assert files[:2] == [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    assert up[:3] == ["compose", "-p", "shop"]
    words = "up -d --no-deps --no-build --scale api=2 --force-recreate api"
    assert up[up.index("up") :] == words.split()
    (override,) = double.overrides()
    limits = {"cpus": 0.25, "mem_limit": 128 * MIB, "memswap_limit": 128 * MIB}
    labels = {"loadstone.config-hash": HASH, "loadstone.in-study": "yes"}
    assert override == {"services": {"api": {**limits, "labels": labels}}}
    assert (applied.setting, applied.read_back) == (setting, "the Docker Engine")
    assert applied.identity == {"image": "shop/api:1", "image_id": "sha256:ab", "digest": "shop/api@sha256:ef"}
    assert (rig.name, rig.service) == ("service api of the compose project shop", "api")


@pytest.mark.parametrize(
    "holds", [Setting(0.5, 128 * MIB, 1), Setting(0.25, 64 * MIB, 1)], ids=["other CPU", "other memory"]
)
def test_limits_that_do_not_hold_are_refused(rig: ComposeRig, double: DockerDouble, holds: Setting):
    hears_of(holds, double)
    with pytest.raises(LimitsDifferError, match=f"shop-api-1 has {str(holds)[:-12]} and not 0.25 CPU and 128m"):
        rig.apply(SMALL, never)


def test_memory_that_does_not_even_suffice_to_start_is_no_failure_of_the_rig(rig: ComposeRig, double: DockerDouble):
    double.answer(
        " up ", code=1, err="OCI runtime create failed: container init was OOM-killed (memory limit too low?)"
    )
    with pytest.raises(BrokeAtStart, match=r"api could not even be started: .*memory limit too low"):
        rig.apply(SMALL, never)


def test_any_other_failure_of_compose_is_one(rig: ComposeRig, double: DockerDouble):
    double.answer(" up ", code=1, err="pulling\nno such image: shop/api:1\n")
    with pytest.raises(PlatformError, match=r"no such image: shop/api:1"):
        rig.apply(SMALL, never)


@pytest.mark.parametrize(
    ("state", "kills", "said"),
    [
        ({"Status": "exited", "ExitCode": 137}, "", "ended while it started (exit 137, killed)"),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, "", "ran out of memory while it started"),
        ({"Status": "restarting", "ExitCode": 3}, "id1\n", "ended while it started (exit 3), out of memory, 1 kill"),
    ],
    ids=["killed", "out of memory", "kill inside"],
)
def test_a_replica_that_is_killed_while_it_starts_broke_and_its_last_words_are_told(
    rig: ComposeRig, double: DockerDouble, state: dict[str, Any], kills: str, said: str
):
    hears_of(SMALL, double, state=state)
    double.answer("events --since", kills)
    double.answer("logs --tail", "Traceback\nMemoryError password=hunter22\n")
    with pytest.raises(BrokeAtStart) as raised:
        rig.apply(SMALL, never)
    assert str(raised.value) == f"shop-api-1 {said}; its last words: Traceback | MemoryError password=***"


def test_a_replica_that_ends_for_another_reason_while_it_starts_says_nothing_of_the_limits(
    rig: ComposeRig, double: DockerDouble
):
    hears_of(SMALL, double, state={"Status": "restarting", "ExitCode": 1})
    double.answer("events --since", "")
    double.answer("logs --tail", "no registry: password=hunter22\n")
    with pytest.raises(StartFailedError) as raised:
        rig.apply(SMALL, never)
    assert raised.value.message == (
        "shop-api-1 ended while it started (exit 1); its last words: no registry: password=***"
    )


NOT_HEALTHY = {"Health": {"Status": "starting"}}


def slow(double: DockerDouble, folder: Path, *, stats: dict[str, str], kills: str = "") -> ComposeRig:
    """A replica that never gets healthy, and what the engine says of its use of limits."""
    hears_of(SMALL, double, state=NOT_HEALTHY)
    double.answer("logs --tail", "loading\n")
    double.answer("stats --no-stream", {"CPUPerc": "1.00%", "MemPerc": "10.00%", "MemUsage": "1MiB / 2MiB", **stats})
    double.answer("events --since", kills)
    return rig_of(double, folder, ready_within_s=0.2, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("stats", "kills", "said"),
    [
        ({"MemPerc": "97.10%", "MemUsage": "124MiB / 128MiB"}, "", "shop-api-1 uses 124MiB / 128MiB of memory"),
        ({"CPUPerc": "24.90%"}, "", "shop-api-1 uses all of its 0.25 CPU"),
        ({}, "id1\nid1\n", "out of memory, 2 kills"),
    ],
    ids=["memory", "CPU", "kills inside"],
)
def test_a_replica_that_is_not_ready_in_time_broke_if_it_has_reached_a_limit(
    double: DockerDouble, tmp_path: Path, stats: dict[str, str], kills: str, said: str
):
    with pytest.raises(BrokeAtStart) as raised:
        slow(double, tmp_path, stats=stats, kills=kills).apply(SMALL, never)
    assert str(raised.value) == f"shop-api-1 is not ready after 0.2 s: {said}; its last words: loading"


def test_a_replica_that_is_not_ready_for_no_such_reason_says_nothing_of_the_limits(
    double: DockerDouble, tmp_path: Path
):
    with pytest.raises(
        StartFailedError, match=r"shop-api-1 is not ready after 0.2 s, although it has reached no limit"
    ):
        slow(double, tmp_path, stats={}).apply(SMALL, never)


def test_what_was_there_is_told_and_its_limits_are_put_back_from_the_users_files(rig: ComposeRig, double: DockerDouble):
    before = rig.before()
    assert (before["cpu_cores"], before["mem_bytes"], before["replicas"]) == (1.0, 512 * MIB, 1)
    assert not double.calls("up")
    assert rig.restore(before) == f"{rig.name} has 1 CPU and 512m x 1 replica again"
    assert double.overrides() == [None]


def test_a_service_that_depends_on_others_is_known_again_by_a_label(double: DockerDouble, tmp_path: Path):
    depends = {**API, "depends_on": {"db": {"condition": "service_started"}}}
    double.answer("config --format json", {"name": "shop", "services": {"api": depends, "db": {"image": "db"}}})
    rig = rig_of(double, tmp_path)
    rig.restore(rig.before())
    assert double.overrides() == [{"services": {"api": {"labels": {"loadstone.config-hash": HASH}}}}]


def test_whoever_gives_up_before_containers_are_recreated_leaves_them_alone(rig: ComposeRig, double: DockerDouble):
    assert rig.apply(SMALL, lambda: True).read_back == ""
    assert not double.calls("up")


def test_whoever_gives_up_later_waits_for_compose_which_leaves_half_of_a_container_otherwise(
    rig: ComposeRig, double: DockerDouble
):
    double.answer("logs --tail", "")
    assert rig.apply(SMALL, lambda: bool(double.calls("up"))).read_back == ""
    assert double.ended("up") == 1


def test_what_a_killed_compose_left_behind_is_removed_first(rig: ComposeRig, double: DockerDouble):
    double.answer("service=api", "id1\nid2\n")
    left = described(2, state={"Status": "created"})
    double.answer("container inspect id2", [{**left, "Name": "/0123456789ab_shop-api-2"}])
    double.answer("rm -f id2", "id2\n")
    before = rig.before()
    assert before["replicas"] == 1
    assert not double.calls("rm")
    double.answer(" up ", code=1, err="it is not this that is looked at")
    with pytest.raises(PlatformError, match="it is not this"):
        rig.apply(SMALL, never)
    assert double.calls("rm") == [["rm", "-f", "id2"]]


def test_what_a_killed_study_left_at_work_is_waited_for(double: DockerDouble, tmp_path: Path):
    rig = rig_of(double, tmp_path)
    before = rig.before()
    words = ["-p", "shop", "-f", "/tmp/loadstone-rig-x/limits.json"]
    left = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.readline()", *words], stdin=subprocess.PIPE)
    assert left.stdin is not None
    looked: list[bool] = []

    def end_it(_seconds: float) -> None:
        looked.append(bool(double.calls("up")))
        assert left.stdin is not None
        left.communicate(b"\n")

    waiting = rig_of(double, tmp_path, sleep=end_it)
    waiting.restore(before)
    assert looked == [False], "nothing is put back while Compose is still at work"
    assert left.returncode == 0


def test_limits_are_put_back_even_where_variables_have_changed(rig: ComposeRig, double: DockerDouble):
    before = rig.before()
    double.answer("config --hash api", f"api {'x' * 64}\n")
    told = rig.restore(before)
    assert told.endswith("again; its other settings are those of the environment and the files of now")
    limits = {"cpus": 1.0, "mem_limit": 512 * MIB, "memswap_limit": 512 * MIB}
    assert double.overrides() == [{"services": {"api": {**limits, "labels": {"loadstone.config-hash": "x" * 64}}}}]


def test_limits_that_could_not_be_put_back_are_a_failure(rig: ComposeRig, double: DockerDouble):
    before = rig.before()
    hears_of(SMALL, double)
    with pytest.raises(PlatformError, match=r"is not as it was before: shop-api-1 has 0.25 CPU and 128m") as raised:
        rig.restore(before)
    assert "docker compose -p shop up -d --scale api=1 api" in str(raised.value)


def test_a_replica_that_does_not_start_again_is_a_failure_to_put_back(rig: ComposeRig, double: DockerDouble):
    before = rig.before()
    hears_of(Setting(1, 512 * MIB, 1), double, state={"Status": "restarting", "ExitCode": 1})
    double.answer("events --since", "")
    double.answer("logs --tail", "no registry\n")
    with pytest.raises(PlatformError, match=r"is not as it was before: shop-api-1 ended while it started") as raised:
        rig.restore(before)
    assert "docker compose -p shop up -d --scale api=1 api" in str(raised.value)


def test_what_was_there_in_another_project_is_not_put_back(rig: ComposeRig, double: DockerDouble):
    with pytest.raises(UsageError, match=r"the study was of service api of the compose project other"):
        rig.restore({**rig.before(), "project": "other"})
    assert not double.calls("up")


def refused(double: DockerDouble, rig: ComposeRig) -> str:
    with pytest.raises(UsageError) as raised:
        rig.before()
    assert not double.calls("up")
    return str(raised.value)


def test_a_service_that_is_not_there_is_refused_with_those_that_are(double: DockerDouble, tmp_path: Path):
    said = refused(double, rig_of(double, tmp_path, "apy"))
    assert "there is no service 'apy' in" in said
    assert "The services are api, db" in said


def test_a_service_that_is_not_up_is_refused(double: DockerDouble, tmp_path: Path):
    assert "service db of the compose project shop is not up" in refused(double, rig_of(double, tmp_path, "db"))


@pytest.mark.parametrize("verb", ["before", "apply"])
def test_a_service_that_was_started_with_other_variables_is_refused(double: DockerDouble, rig: ComposeRig, verb: str):
    double.answer("config --hash api", f"api {'x' * 64}\n")
    with pytest.raises(UsageError, match=r"shop-api-1 was started with other files or variables than there are now"):
        rig.before() if verb == "before" else rig.apply(SMALL, never)
    assert not double.calls("up")


def test_the_limits_of_another_study_are_not_taken_for_what_was_there(double: DockerDouble, rig: ComposeRig):
    hears_of(SMALL, double, labels={"loadstone.config-hash": HASH, "loadstone.in-study": "yes"})
    assert "still has the limits of a study that did not end. Resume that study" in refused(double, rig)
    rig.apply(SMALL, never)


def test_replicas_with_different_limits_are_refused(double: DockerDouble, rig: ComposeRig):
    double.answer("service=api", "id1\nid2\n")
    double.answer("container inspect id2", [described(2, cores=2)])
    assert "differ in their limits" in refused(double, rig)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"container_name": "api"}, "has the fixed container_name api"),
        ({"ports": [{"target": 80, "published": "8080"}]}, "publishes port 8080, which only one replica can have"),
    ],
    ids=["name", "port"],
)
def test_a_service_that_cannot_be_scaled_is_refused_for_two_replicas(
    double: DockerDouble, rig: ComposeRig, config: dict[str, Any], said: str
):
    double.answer("config --format json", {"name": "shop", "services": {"api": {**API, **config}}})
    rig.check_fits([SMALL], 1)
    with pytest.raises(UsageError, match=said):
        rig.check_fits([Setting(0.25, 128 * MIB, 2)], 1)


def test_limits_above_what_the_host_has_or_below_what_docker_gives_are_refused(rig: ComposeRig):
    with pytest.raises(UsageError, match=r"2 x 2 CPU are 4 cores, and this machine has 4, of which 1 is kept"):
        rig.check_fits([SMALL, Setting(2, 128 * MIB, 2)], 1)
    with pytest.raises(UsageError, match=r"no less than 6m"):
        rig.check_fits([SMALL, Setting(0.25, 5 * MIB, 1)], 1)


def test_limits_above_the_cpus_that_the_service_is_bound_to_are_refused(double: DockerDouble, rig: ComposeRig):
    double.answer("config --format json", {"name": "shop", "services": {"api": {**API, "cpuset": "1"}}})
    rig.check_fits([Setting(0.5, 128 * MIB, 2)], 1)
    with pytest.raises(UsageError, match=r"2 x 0.75 CPU are 1.5 cores, and its cpuset 1 has 1. 0.5 CPU for each"):
        rig.check_fits([Setting(0.75, 128 * MIB, 2)], 1)


def test_without_docker_that_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match=r"no-docker cannot be started: No such file or directory.*--apply"):
        ComposeRig.of_files([tmp_path / "a.yaml"], "api", Docker(str(tmp_path / "no-docker")))


def test_an_engine_that_does_not_answer_is_said(double: DockerDouble, tmp_path: Path):
    double.answer("version --format", code=1, err="Cannot connect to the Docker daemon at unix:///x.sock\n")
    with pytest.raises(UsageError, match=r"does not answer: Cannot connect to the Docker daemon at unix:///x.sock"):
        rig_of(double, tmp_path)


def test_files_that_compose_cannot_read_are_said(double: DockerDouble, tmp_path: Path):
    double.answer("config --format json", code=14, err="open a.yaml: no such file or directory\n")
    with pytest.raises(UsageError, match=r"Compose cannot read .*a.yaml.*: open a.yaml: no such file"):
        rig_of(double, tmp_path)


def test_an_engine_elsewhere_cannot_be_watched(double: DockerDouble, rig: ComposeRig):
    double.answer("context inspect", "tcp://far:2375\n")
    with pytest.raises(UsageError, match=r"the Docker Engine is at tcp://far:2375"):
        rig.check_quiet(never)


def stacks(double: DockerDouble, *names: str) -> None:
    """Let stacks be up: the master of each has labels that name its files."""
    double.answer("ps -q --no-trunc", "\n".join(names))
    labels = {
        "project.config_files": "/srv/compose.yaml,/srv/more.yaml",
        "project.working_dir": "/srv",
        "project.environment_file": "/srv/env",
    }
    about = [{"project": name, **labels} for name in names]
    found = [
        {"Config": {"Labels": {f"com.docker.compose.{key}": text for key, text in each.items()}}} for each in about
    ]
    double.answer(f"container inspect {' '.join(names)}", found)
    double.answer("config --hash target", f"target {HASH}\n")


def test_the_stack_that_is_up_is_found_by_its_containers(double: DockerDouble):
    stacks(double, "loadstone")
    rig = ComposeRig.of_stack(double.docker)
    assert rig.name == "service target of the compose project loadstone"
    with pytest.raises(UsageError, match=r"no service 'target'"):  # the double's files have other ones
        rig.before()
    (asked,) = double.calls("config")
    options = "compose -p loadstone --project-directory /srv --env-file /srv/env -f /srv/compose.yaml -f /srv/more.yaml"
    assert asked == [*options.split(), "config", "--format", "json"]


def test_of_two_stacks_one_has_to_be_chosen(double: DockerDouble, monkeypatch: pytest.MonkeyPatch):
    stacks(double, "loadstone", "other")
    with pytest.raises(UsageError, match=r"several stacks are up: loadstone, other\. .*COMPOSE_PROJECT_NAME"):
        ComposeRig.of_stack(double.docker)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")
    assert ComposeRig.of_stack(double.docker).project == "other"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "third")
    with pytest.raises(UsageError, match=r"no compose stack of loadstone with the name third is up"):
        ComposeRig.of_stack(double.docker)


def test_without_a_stack_that_is_said(double: DockerDouble):
    double.answer("ps -q --no-trunc", "")
    with pytest.raises(UsageError, match=r"no compose stack of loadstone is up on this machine"):
        ComposeRig.of_stack(double.docker)


def test_usage_may_be_asked_of_the_services_of_the_project_only(rig: ComposeRig):
    ways = {"cpu": "1", "memory": "512m", "compose_file": ["a.yaml"], "service": "api"}
    own = Scenario(files=(), user_classes=("Own",), hosts=("http://own",), shape=None, arguments=())
    for objective in ("cpu(api)<80%", "mem(db)<1GiB"):
        refuse_unrecorded_usage(load(CapacitySettings, {**ways, "objective": [objective]}, environ={}), own, rig)
    asked = load(CapacitySettings, {**ways, "objective": ["cpu(target)<80%"]}, environ={})
    with pytest.raises(UsageError) as refused:
        refuse_unrecorded_usage(asked, own, rig)
    assert str(refused.value) == (
        "the objective cpu(target)<80% needs CPU and memory of target, and only those of api, db will be recorded."
        " Leave the objective out, or name one of them in it"
    )
