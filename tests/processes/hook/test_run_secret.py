"""The secret of a run reaches its workers and the collector, and nobody who looks at the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gevent
import pytest
from locust.rpc.protocol import Message

from loadstone.domain.event import Interrupted
from loadstone.hook import master
from loadstone.hook.identity import RUN_OPTION, SECRET_OPTION, give_secret, take_secret
from loadstone.hook.sender import EventPublisher
from loadstone.stream.keys import EVENTS, inbox
from loadstone.stream.proof import RunSecret, RunSecrets
from support.begun_master import begun
from support.processes import free_port, wait_in_greenlet

if TYPE_CHECKING:
    from support.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("as_if_started_by_locust")


def options_of(secret: RunSecret) -> Any:
    environment: Any = SimpleNamespace(parsed_options=SimpleNamespace())
    give_secret(environment, secret)
    return environment.parsed_options


def test_a_worker_gets_it_with_locusts_own_message():
    secret = RunSecret.new("r")
    message = Message("spawn", {"parsed_options": vars(options_of(secret))}, "worker")
    received = SimpleNamespace(**Message.unserialize(message.serialize()).data["parsed_options"])
    environment: Any = SimpleNamespace(parsed_options=received)
    assert take_secret(environment) == secret
    assert secret.key.hex() not in repr(vars(received))


def test_options_that_a_scenario_prints_do_not_show_it():
    secret = RunSecret.new("r")
    options = options_of(secret)
    for shown in (f"{options}", f"{vars(options)}", repr(getattr(options, SECRET_OPTION))):
        assert secret.key.hex() not in shown
        assert "'***'" in shown


@pytest.mark.parametrize("missing", [RUN_OPTION, SECRET_OPTION])
def test_a_worker_of_a_master_without_it_records_nothing(missing: str):
    options = options_of(RunSecret.new("r"))
    delattr(options, missing)
    environment: Any = SimpleNamespace(parsed_options=options)
    assert take_secret(environment) is None


@pytest.mark.attack("looking at a master's web pages", "no page shows the secret of its run")
def test_no_page_of_locusts_web_ui_shows_it(valkey: RedisServer):
    with begun(valkey.url) as (_, environment):
        key = getattr(environment.parsed_options, SECRET_OPTION)
        assert len(key) == 64
        ui: Any = environment.create_web_ui("127.0.0.1", free_port(), delayed_start=True)
        client = ui.app.test_client()
        pages = [rule.rule for rule in ui.app.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments]
        assert {"/", "/stats/requests", "/stats/report"} <= set(pages)
        for page in pages:
            assert key.encode() not in client.get(page).data, page


def test_a_master_writes_it_before_its_first_event(valkey: RedisServer):
    client = valkey.client()
    with begun(valkey.url) as (hook, environment):
        wait_in_greenlet(lambda: bool(client.llen(inbox(EVENTS))), "its first event is there")
        assert RunSecrets(client).of(str(hook.run)).key.hex() == getattr(environment.parsed_options, SECRET_OPTION)


def test_each_run_has_another_one(valkey: RedisServer):
    with begun(valkey.url) as (_, first), begun(valkey.url) as (_, second):
        keys = {getattr(environment.parsed_options, SECRET_OPTION) for environment in (first, second)}
        assert len(keys) == 2


def test_it_is_written_when_the_server_comes_back_and_again_when_the_server_has_lost_it(valkey: RedisServer):
    secret = RunSecret.new("r")
    valkey.kill()
    publisher = EventPublisher(valkey.url, secret, lambda: 0, opens=True)
    publisher.publish(Interrupted())
    gevent.sleep(0.1)
    valkey.start()
    wait_in_greenlet(lambda: bool(valkey.client().llen(inbox(EVENTS))), "the event is there")
    assert RunSecrets(valkey.client()).of("r") == secret
    valkey.client().flushall()
    valkey.kill()
    publisher.publish(Interrupted())
    gevent.sleep(0.3)
    valkey.start()
    publisher.finish(10)
    assert RunSecrets(valkey.client()).of("r") == secret
    assert valkey.client().llen(inbox(EVENTS)) == 1


def test_a_master_that_reaches_the_server_only_when_it_quits_opens_its_run_then(
    valkey: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise all that its workers sent would be entries of a run that nobody opened."""
    monkeypatch.setattr(master, "_FLUSH_TIMEOUT_S", 0.3)
    valkey.kill()
    with begun(valkey.url) as (hook, environment):
        environment.parsed_options.headless = True
        hook.end()
        valkey.start()
        monkeypatch.setattr(master, "_FLUSH_TIMEOUT_S", 10.0)
        hook.quit(0)
        assert RunSecrets(valkey.client()).find(str(hook.run)) is not None
