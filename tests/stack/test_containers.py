"""The containers of the stack: all there, started in order, hardened, and no secret shown."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from support.compose_stack import GID, ROOT, SCALES, UID
from support.reachability import NOTHING_LISTENS, SCENARIOS, addresses, answers_to, by_table, by_trying

if TYPE_CHECKING:
    from support.compose_stack import ComposeStack, Containers

ONE_SHOTS = {"init", "model", "influx-init", "welcome"}
ROOT_ALLOWED = {"init": ["CHOWN"], "cadvisor": [], "engine": []}


def test_everything_is_healthy_and_the_one_shots_ended_well(stack: ComposeStack):
    states = {one["Name"]: one for one in stack.containers()}
    stays = [one for one in states.values() if one["Service"] not in ONE_SHOTS]
    assert {one["Health"] for one in stays} == {"healthy"}
    assert {one["Service"]: one["ExitCode"] for one in states.values() if one["Service"] in ONE_SHOTS} == dict.fromkeys(
        ONE_SHOTS, 0
    )
    assert len(stack.names("locust-worker")) == SCALES["locust-worker"]
    assert len(stack.names("target")) == SCALES["target"]


def test_the_file_is_clean_for_compose(stack: ComposeStack):
    done = stack.compose("config", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_last_words_of_up_are_the_addresses_with_their_real_ports(stack: ComposeStack):
    told = stack.logs("welcome")
    assert "the stack is up; open" in told
    assert all(f"http://localhost:{port} " in told for port in stack.ports.values())
    assert "docker compose run --rm cli secrets show" in told


def test_services_started_in_order(first_start: Containers):
    found = first_start
    started = {service: min(one["State"]["StartedAt"] for one in each) for service, each in found.items()}
    ended = {service: found[service][0]["State"]["FinishedAt"] for service in ONE_SHOTS}
    assert ended["init"] < min(started[service] for service in ("redis", "mlflow", "influxdb"))
    assert ended["model"] < started["target"] < started["balancer"] < started["locust-master"]
    assert ended["influx-init"] < started["collector"] < started["locust-master"] < started["locust-worker"]
    assert started["locust-master"] < started["welcome"]


def test_no_container_runs_as_root_or_with_capabilities_but_those_that_are_explained(stack: ComposeStack):
    for service, containers in stack.by_service().items():
        for one in containers:
            host = one["HostConfig"]
            assert host["CapDrop"] == ["ALL"], service
            assert (host["CapAdd"] or []) == ROOT_ALLOWED.get(service, []), service
            assert host["Privileged"] is False, service
            assert host["ReadonlyRootfs"] is True, service
            assert "no-new-privileges:true" in host["SecurityOpt"], service
            is_root = one["Config"]["User"].partition(":")[0] in {"", "0", "root"}
            assert is_root == (service in ROOT_ALLOWED), service
            assert host["Memory"] > 0, service


def test_a_running_container_has_no_capability_at_all(stack: ComposeStack):
    for service, containers in stack.by_service().items():
        for one in containers:
            if one["State"]["Running"] and service not in ROOT_ALLOWED:
                status = Path(f"/proc/{one['State']['Pid']}/status").read_text()
                assert set(re.findall(r"^Cap(?:Eff|Prm|Bnd|Inh|Amb):\s+0*(\d*)$", status, re.MULTILINE)) == {""}
                assert re.search(r"^Uid:\s+0\s", status, re.MULTILINE) is None, service


def test_every_published_port_is_on_the_loopback_address(stack: ComposeStack):
    bindings = [
        binding
        for containers in stack.by_service().values()
        for one in containers
        for published in (one["NetworkSettings"]["Ports"] or {}).values()
        for binding in published or []
    ]
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
    expected = {"LOCUST_PORT", "LIVE_PORT", "MLFLOW_PORT", *(["GRAFANA_PORT"] if stack.engine.has_registry else [])}
    assert {binding["HostPort"] for binding in bindings} == {str(stack.ports[name]) for name in expected}


def test_no_port_of_the_stack_listens_beyond_the_loopback_address(stack: ComposeStack):
    listening = subprocess.run(["ss", "-Htln"], capture_output=True, text=True, check=True).stdout
    ports = {str(port) for port in stack.ports.values()}
    addresses = {line.split()[3].rpartition(":") for line in listening.splitlines()}
    assert {host for host, _, port in addresses if port in ports} == {"127.0.0.1"}


@pytest.fixture(scope="module")
def running(shared_stack: ComposeStack, first_start: Containers) -> Containers:
    """The containers that stay, and have a network."""
    shared_stack.settle()
    return {name: each for name, each in shared_stack.by_service().items() if name not in {*ONE_SHOTS, "engine"}}


@pytest.fixture(scope="module")
def reached(shared_stack: ComposeStack, running: Containers) -> dict[str, set[str]]:
    """What each service that stays reaches of all others, by trying."""
    with ThreadPoolExecutor(4) as pool:
        tried = pool.map(lambda source: by_trying(shared_stack, source, running), running)
        return dict(zip(running, tried, strict=True))


def is_at_all(pair: str) -> bool:
    """Whether this is the port that tells only whether a service is reached."""
    return pair.endswith(f":{NOTHING_LISTENS}")


@pytest.mark.attack("every service tries every other one, by name and address", "it reaches those of the table alone")
def test_every_service_reaches_whom_the_table_says_and_nobody_else(reached: dict[str, set[str]]):
    table = by_table()
    said = {source: {pair for pair in table[source] if pair.partition(":")[0] in reached} for source in reached}
    assert {source: {pair for pair in found if not is_at_all(pair)} for source, found in reached.items()} == said


@pytest.mark.attack("a scenario tries every service, those without a port too", "nothing leads to any but these")
@pytest.mark.parametrize(
    ("source", "near"),
    [
        ("locust-master", {"balancer", "redis", "locust-worker", "collector"}),
        ("locust-worker", {"balancer", "redis", "locust-master"}),
    ],
)
def test_no_way_leads_from_a_scenario_to_other_services(reached: dict[str, set[str]], source: str, near: set[str]):
    assert {pair.partition(":")[0] for pair in reached[source] if is_at_all(pair)} == near


@pytest.mark.attack("a scenario goes through the machine to the published ports", "none of them is open to it")
@pytest.mark.parametrize("source", SCENARIOS)
def test_a_scenario_cannot_go_through_the_machine_to_the_published_ports(
    shared_stack: ComposeStack, running: Containers, source: str
):
    (about, *_) = running[source]
    hosts = ["host.docker.internal", *addresses(about, "Gateway")]
    places = [(host, port) for host in hosts for port in shared_stack.ports.values()]
    answers = answers_to(shared_stack, about["Id"], places)
    assert [place for place, answer in answers.items() if answer == "open"] == []


@pytest.mark.parametrize("service", ["locust-worker", "locust-master"])
def test_locust_may_send_ask_time_and_ping_and_nothing_else(stack: ComposeStack, service: str):
    program = """
import pathlib, redis
client = redis.Redis.from_url(pathlib.Path('/run/secrets/redis_url').read_text())
client.ping(); client.time(); client.rpush('inbox:samples', 'x'); client.rpush('inbox:events', 'x')
for words in (['XADD', 'samples', '*', 'a', 'b'], ['RPUSH', 'inbox:usage', 'x'], ['GET', 'run_secret:x'],
              ['XREAD', 'STREAMS', 'samples', '0'], ['GET', 'live:x'],
              ['DEL', 'samples'], ['XTRIM', 'samples', 'MAXLEN', '0'], ['CONFIG', 'GET', '*'], ['ACL', 'LIST'],
              ['FLUSHALL'], ['KEYS', '*'], ['EVAL', 'return 1', '0']):
    try:
        client.execute_command(*words)
    except redis.exceptions.NoPermissionError:
        continue
    raise SystemExit(f'{words} was allowed')
"""
    done = stack.inside(service, "python", "-c", program)
    assert done.returncode == 0, done.stdout + done.stderr
    anonymous = "import redis; redis.Redis('redis').ping()"
    assert "AuthenticationError" in stack.inside(service, "python", "-c", anonymous).stderr


def test_no_secret_is_in_what_the_engine_shows_logs_images_or_the_repository(stack: ComposeStack):
    values = list(stack.secrets().values())
    assert len(values) > 5
    assert all(len(value) >= 32 for value in values)
    places = {
        "docker inspect": json.dumps(stack.by_service()),
        "logs": stack.logs(tail=10_000),
        "compose config": stack.must("config"),
        "the repository": subprocess.run(
            ["git", "grep", "-hI", ""], cwd=ROOT, capture_output=True, text=True, errors="replace", check=True
        ).stdout,
    }
    for image in sorted({one["Image"] for each in stack.by_service().values() for one in each}):
        places[f"image {image}"] = stack.engine.must("history", "--no-trunc", image) + json.dumps(stack.inspect(image))
    assert {where for where, text in places.items() for value in values if value in text} == set()


def test_secrets_show_prints_what_a_person_needs(stack: ComposeStack):
    told = stack.must("run", "--rm", "-T", "cli", "secrets", "show")
    passwords = re.findall(r"user (?:admin|people) +password (\S{32,})", told)
    assert len(passwords) == 3
    assert set(passwords) <= set(stack.secrets().values())


def test_the_results_folder_belongs_to_its_owner(stack: ComposeStack):
    about = stack.results.stat()
    assert (about.st_uid, about.st_gid) == (UID, GID)


def test_images_are_small_on_top_of_their_base(stack: ComposeStack):
    def layers_mb(image: str) -> float:
        return float(stack.engine.must("image", "inspect", "-f", "{{.Size}}", image).strip()) / 1e6

    if stack.engine.has_registry:
        stack.engine.must("pull", "-q", "python:3.13.11-slim-bookworm", timeout_s=300)
    base = layers_mb(stack.settings.get("PYTHON_IMAGE", "python:3.13.11-slim-bookworm"))
    sizes = {name: layers_mb(f"loadstone-test/{name}:0.1.0") - base for name in ("locust-worker", "target")}
    assert sizes["locust-worker"] <= 250
    assert sizes["target"] <= 600


def test_a_service_answers_on_its_published_port(stack: ComposeStack):
    for name in ("LOCUST_PORT", "LIVE_PORT", "MLFLOW_PORT"):
        socket.create_connection(("127.0.0.1", stack.ports[name]), 5).close()


@pytest.mark.attack("another website asks the stack's master or live page", "refused, by whatever name")
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}], ids=str)
@pytest.mark.parametrize(("port", "path"), [("LOCUST_PORT", "/stats/requests"), ("LIVE_PORT", "/state")])
def test_no_other_website_reads_a_page_of_the_stack(stack: ComposeStack, port: str, path: str, headers: dict[str, str]):
    url = f"http://127.0.0.1:{stack.ports[port]}"
    assert httpx.get(url + path, headers=headers, trust_env=False).status_code == 403
    assert httpx.get(url + path, headers={"Host": "localhost"}, trust_env=False).status_code == 200


@pytest.mark.attack("another website asks the stack's master or live page", "refused, by whatever name")
@pytest.mark.parametrize("path", ["/swarm", "/stop", "/stats/reset", "/loadstone/runs", "/loadstone/stop"])
def test_no_other_website_drives_the_stack(stack: ComposeStack, path: str):
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example", "Origin": "http://evil.example"}, {}):
        assert httpx.post(stack.locust + path, headers=headers, trust_env=False).status_code == 403
