"""Down and up again: what stays, what goes, and what a wrong setting says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.compose_stack import PROJECT, ComposeStack

if TYPE_CHECKING:
    from pathlib import Path


def test_wrong_settings_stop_everything_with_a_sentence_for_each(shared_stack: ComposeStack, tmp_path: Path):
    settings = {"TARGET_URL": "balancer", "INFLUX_RETENTION": "soon"}
    wrong = ComposeStack(shared_stack.engine, tmp_path, project=f"{PROJECT}-wrong", **settings)
    done = wrong.compose("up", "-d", "--no-build")
    said = wrong.logs("init")
    running = {one["Service"] for one in wrong.containers() if one["State"] == "running"}
    wrong.down("-v")
    assert done.returncode != 0
    assert 'service "init" didn\'t complete successfully: exit 2' in done.stderr
    assert "TARGET_URL is 'balancer', it must be http://HOST[:PORT] or https://HOST[:PORT]" in said
    assert "INFLUX_RETENTION is 'soon', it must be a duration from 1h to 36500d such as 72h or 30d, or 0" in said
    assert running == set()


def test_a_second_up_after_down_keeps_data_and_secrets(shared_stack: ComposeStack):
    stack = shared_stack
    stack.up(target=1, locust_worker=2)
    stack.start_run(20, 20)
    stack.wait_for_requests(100)
    stack.stop_run()
    told = stack.must("run", "--rm", "-T", "cli", "secrets", "show")
    points = stack.influx('SELECT count("n") AS n FROM "rollup"')
    stack.down()
    stack.up()
    assert stack.must("run", "--rm", "-T", "cli", "secrets", "show") == told
    assert stack.influx('SELECT count("n") AS n FROM "rollup"') == points
    assert points[0]["n"] > 0


def test_down_with_volumes_removes_everything(shared_stack: ComposeStack):
    stack = shared_stack
    stack.down("-v")
    for kind in ("ps -aq", "volume ls -q", "network ls -q"):
        label = f"label=com.docker.compose.project={stack.project}"
        assert stack.engine.must(*kind.split(), "--filter", label) == ""
