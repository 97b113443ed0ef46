"""What a message that starts users costs a worker: Locust's own handler, with and without what loadstone does to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from locust import argument_parser
from locust.env import Environment
from locust.event import Events
from locust.rpc.protocol import Message
from locust.runners import WorkerRunner

from loadstone.hook import default_options


@pytest.fixture(autouse=True)
def as_locust_has_it(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Locust's own function, and every parser that is made of its default options."""
    made: list[object] = []
    make = argument_parser.get_empty_argument_parser

    def noted(*arguments: Any, **named: Any) -> Any:
        made.append(arguments)
        return make(*arguments, **named)

    monkeypatch.setattr(argument_parser, "get_empty_argument_parser", noted)
    monkeypatch.setattr(argument_parser, "default_args_dict", argument_parser.default_args_dict)
    return made


def spawn_message(number: int) -> Message:
    """What a master sends, with one option that is a scenario's."""
    options = {**argument_parser.default_args_dict(), "own_option": number, "tags": ["a"], "host": "http://elsewhere"}
    job = {
        "timestamp": number,
        "host": "http://h",
        "stop_timeout": 0,
        "user_classes_count": {},
        "parsed_options": options,
    }
    return Message("spawn", job, "worker")


def worker() -> Any:
    """Stands in for a worker that is connected: what Locust's handler of messages uses of one."""
    environment = Environment(events=Events(), parsed_options=SimpleNamespace(own_option=None, tags=None, host="mine"))
    started = SimpleNamespace(link_exception=lambda _: None)
    return SimpleNamespace(
        client=SimpleNamespace(send=lambda _: None),
        client_id="w",
        environment=environment,
        last_received_spawn_timestamp=0,
        worker_state="spawning",
        spawning_greenlet=None,
        greenlet=SimpleNamespace(spawn=lambda _: started),
    )


def handled(messages: list[Message]) -> dict[str, Any]:
    """The options of a worker that got them."""
    runner = worker()
    for message in messages:
        WorkerRunner.handle_message(runner, message)
        runner.spawning_greenlet = None
    return vars(runner.environment.parsed_options)


def test_options_of_the_scenario_arrive_as_with_locust_and_its_own_are_looked_up_once(as_locust_has_it: list[object]):
    messages = [spawn_message(number) for number in (1, 2, 3)]
    as_locust_has_it.clear()
    plain = handled(messages)
    assert len(as_locust_has_it) > 100, "Locust still makes a parser for each option; else this patch is not needed"
    default_options.install()
    as_locust_has_it.clear()
    mended = handled(messages)
    assert len(as_locust_has_it) == 1
    assert mended == plain
    assert (mended["own_option"], mended["tags"], mended["host"]) == (3, ["a"], "mine")


def test_it_is_installed_once():
    default_options.install()
    installed = argument_parser.default_args_dict
    default_options.install()
    assert argument_parser.default_args_dict is installed


def test_a_version_of_locust_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(argument_parser, "default_args_dict")
    default_options.install()
    assert not hasattr(argument_parser, "default_args_dict")
