"""ComposeRig on a real engine: limits hold, nothing else changes, and everything is put back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from loadstone.compose.remote import StackRun
from loadstone.errors import UsageError
from loadstone.rig.compose_project import ComposeRig
from loadstone.rig.docker import Docker
from loadstone.rig.rig import BrokeAtStart, Setting
from loadstone.settings import RunSettings, load
from loadstone.usage.docker_engine import DockerEngine
from support.compose_stack import PROJECT, ROOT, SCALES
from support.launch_doubles import RecordingView
from support.small_project import SmallProject, limits_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.compose_stack import ComposeStack

MIB = 1024**2
AS_WRITTEN = (0.8, 96 * MIB)
"""The limits of the small project's file."""


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def started(shared_stack: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallProject]:
    """A project beside the stack."""
    image = f"{shared_stack.settings['LOADSTONE_IMAGES']}/target:0.1.0"
    project = SmallProject(shared_stack.engine, tmp_path_factory.mktemp("shop"), image)
    try:
        project.start()
        yield project
    finally:
        project.remove()


@pytest.fixture
def shop(started: SmallProject) -> SmallProject:
    """The project as its file says."""
    started.start()
    return started


def held(project: SmallProject) -> list[tuple[float, int]]:
    """The limits in the control groups of its replicas."""
    return [limits_in(project.engine, each["Id"]) for each in project.containers()]


def test_limits_hold_in_every_replica_and_nothing_else_changes(shop: SmallProject):
    file, others, fresh = shop.file.read_bytes(), shop.ids("other"), shop.ids()
    rig = shop.rig()
    before = rig.before()
    for setting in (Setting(0.5, 64 * MIB, 2), Setting(0.25, 48 * MIB, 1)):
        applied = rig.apply(setting, never)
        assert (applied.setting, applied.read_back) == (setting, "the Docker Engine")
        assert applied.identity["image_id"].startswith("sha256:")
        assert held(shop) == [(setting.cpu_cores, setting.mem_bytes)] * setting.replicas
        assert not fresh & shop.ids(), "each trial gets fresh containers"
        fresh = shop.ids()
    assert (shop.ids("other"), shop.file.read_bytes()) == (others, file)
    socket = Docker(shop.engine.docker_program, shop.engine.environment).socket()
    readings = DockerEngine(socket, rig.project).read()
    assert {(each.service, each.cpu_limit, each.mem_limit) for each in readings} == {
        ("api", 0.25, 48 * MIB),
        ("other", None, None),
    }
    assert rig.restore(before) == f"{rig.name} has 0.8 CPU and 96m x 1 replica again"
    assert held(shop) == [AS_WRITTEN]


def test_what_was_put_back_is_what_the_users_own_up_makes(shop: SmallProject):
    rig = shop.rig()
    before = rig.before()
    rig.apply(Setting(0.5, 64 * MIB, 1), never)
    rig.restore(before)
    (found,) = shop.containers()
    assert [name for name in found["Config"]["Labels"] if name.startswith("loadstone")] == []
    assert shop.rig().before() == before
    shop.start()
    assert shop.ids() == {found["Id"]}


def test_a_study_that_crashed_is_put_back_by_another_process_with_other_variables(shop: SmallProject):
    before = shop.rig().before()
    shop.rig().apply(Setting(0.5, 64 * MIB, 2), never)
    other = shop.rig(SHOP_MODE="fancy")
    with pytest.raises(UsageError, match="still has the limits of a study that did not end"):
        shop.rig().before()
    assert "its other settings are those of the environment" in other.restore(before)
    assert held(shop) == [AS_WRITTEN]


@pytest.mark.attack("limits under which the target cannot start", "it broke, and what was there is put back")
def test_too_little_memory_to_start_breaks_the_target_and_not_the_rig(shop: SmallProject):
    rig = shop.rig()
    before = rig.before()
    with pytest.raises(BrokeAtStart, match=r"loadstone-shop-api-\d (ran out of memory|ended) while it started"):
        rig.apply(Setting(0.5, 16 * MIB, 1), never)
    rig.restore(before)
    assert held(shop) == [AS_WRITTEN]


@pytest.mark.attack("a service that was started with other variables", "refused, and nothing is recreated")
def test_a_service_that_would_change_in_more_than_its_limits_is_refused(shop: SmallProject):
    ids = shop.ids()
    changed = shop.rig(SHOP_MODE="fancy")
    for attempt in (changed.before, lambda: changed.apply(Setting(0.5, 64 * MIB, 1), never)):
        with pytest.raises(UsageError, match="was started with other files or variables than there are now"):
            attempt()
    with pytest.raises(UsageError, match="The services are api, other"):
        shop.rig("apy").before()
    assert shop.ids() == ids


@pytest.mark.attack("Ctrl-C while containers are recreated", "it ends well, and what was there is put back")
def test_an_apply_that_is_interrupted_can_be_put_back(shop: SmallProject):
    rig = shop.rig()
    before = rig.before()
    looks = iter((False,))
    assert rig.apply(Setting(0.5, 64 * MIB, 2), lambda: next(looks, True)).read_back == ""
    rig.restore(before)
    assert held(shop) == [AS_WRITTEN]


@pytest.mark.attack("Compose is killed while it recreates a container", "what it left is removed")
def test_half_a_container_is_no_hindrance(shop: SmallProject):
    rig = shop.rig()
    before = rig.before()
    shop.leave_half_a_container()
    assert len(shop.ids()) == 2
    rig.apply(Setting(0.5, 64 * MIB, 1), never)
    assert held(shop) == [(0.5, 64 * MIB)]
    rig.restore(before)


def rig_of(stack: ComposeStack) -> ComposeRig:
    """The rig of the stack that is up."""
    return ComposeRig.of_stack(Docker(stack.engine.docker_program, stack.engine.environment), PROJECT)


@pytest.fixture
def stack_rig(stack: ComposeStack) -> Iterator[ComposeRig]:
    """The same; the target is as it was afterwards."""
    rig = rig_of(stack)
    before = rig.before()
    yield rig
    rig.restore(before)
    assert rig.before() == before
    assert before["replicas"] == SCALES["target"]


def test_a_run_in_the_stack_says_the_limits_that_hold_while_nothing_but_the_target_is_recreated(
    stack: ComposeStack, stack_rig: ComposeRig
):
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (ROOT / "docker-compose.yaml",)}
    others = {name: ids_of(stack, name) for name in stack.by_service() if name != "target"}
    applied = stack_rig.apply(Setting(0.5, 320 * MIB, 2), never)
    assert [limits_in(stack.engine, name) for name in stack.names("target")] == [(0.5, 320 * MIB)] * 2
    assert {name: ids_of(stack, name) for name in others} == others
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files} == files
    assert applied.identity["model"] == "diabetes"
    assert {"version", "mode", "image_id"} <= set(applied.identity)
    limits = {"target": {"cpu_cores": 0.5}}
    options = {"users": "20", "spawn_rate": "20", "run_time": "8s", "stack_url": stack.locust}
    settings = load(RunSettings, {**options, "results": str(stack.results)}, environ={})
    folder = StackRun(settings, RecordingView(), lambda: 0, limits=limits, target=applied.identity).drive()
    assert folder is not None
    run = stack.archived(folder.run)
    assert (run["limits"], run["target"]) == (limits, dict(applied.identity))
    assert run["summary"]["run"]["total"]["failures"] == 0
    counted = run["balancers"]["target"]["requests"]
    assert run["requests"] - 20 <= counted <= run["requests"] + 10, (
        "a worker asks what it is to send; ticks may be late"
    )
    assert (run["usage"]["target"]["cpu_limit"], run["usage"]["target"]["mem_limit"]) == (2 * 0.5, 2 * 320 * MIB)


def ids_of(stack: ComposeStack, service: str) -> set[str]:
    """The containers of a service."""
    return {each["Id"] for each in stack.by_service()[service]}


@pytest.mark.attack("somebody else loads the target before a study", "it is refused; health checks are no load")
def test_requests_of_somebody_else_are_noticed(stack: ComposeStack):
    rig = rig_of(stack)
    rig.check_quiet(never)
    stack.start_run(10, 10)
    stack.wait_for_requests(20)
    with pytest.raises(UsageError, match=r"requests that are not the study's reach the target \(\d+ in 5 s\)"):
        rig.check_quiet(never)
    stack.end_run()
