"""The rate of arrivals in the form of Locust's web UI: what a person sees there, and what becomes of what is typed."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

import pytest

from support.locust_master import LocustMaster, locust_master
from support.processes import wait_until
from support.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORM = {"user_count": "1", "spawn_rate": "1", "host": "", "run_time": "", "users_with_a_rate": ""}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, valkey_binary: Path) -> Iterator[LocustMaster]:
    server = RedisServer(valkey_binary, tmp_path_factory.mktemp("valkey")).start()
    with locust_master(
        tmp_path_factory.mktemp("master"), server.url, rate="30/s over 5s\n60/s", max_users="7"
    ) as started:
        yield started
    server.close()


def start(master: LocustMaster, **fields: str) -> dict[str, Any]:
    answer: dict[str, Any] = master.ask("POST", "/swarm", {"Origin": master.url}, data={**FORM, **fields}).json()
    return answer


def stop(master: LocustMaster) -> None:
    master.ask("POST", "/stop", {"Origin": master.url})
    wait_until(lambda: master.effects()["state"] == "stopped", "the run has stopped")


def test_the_form_shows_the_rate_that_the_process_was_given(master: LocustMaster):
    page = html.unescape(master.ask("GET", "/", {}).text)
    _, _, options = page.partition('"extra_options": ')
    shown, _ = json.JSONDecoder().raw_decode(options)
    assert {name: field["default_value"] for name, field in shown.items()} == {
        "rate_of_arrivals": "30/s over 5s, 60/s",
        "users_with_a_rate": "7",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rate_of_arrivals": "fast"}, "rate 'fast' is not NUMBER/s, /m or /h"),
        ({"rate_of_arrivals": "5/s, 9/s"}, "rate 5/s has no duration, so no stage can follow it"),
        ({"rate_of_arrivals": "5/s", "users_with_a_rate": "many"}, "it must be a whole number of at least 1"),
    ],
)
def test_what_is_no_rate_is_answered_with_the_reason_and_starts_nothing(
    master: LocustMaster, fields: dict[str, str], said: str
):
    before = master.effects()
    answer = start(master, **fields)
    assert answer["success"] is False
    assert said in answer["message"]
    assert master.effects() == before


@pytest.mark.parametrize(
    ("fields", "users"),
    [
        ({"rate_of_arrivals": "40/s"}, 80),
        ({"rate_of_arrivals": "40/s", "users_with_a_rate": "9"}, 9),
        ({"rate_of_arrivals": "", "user_count": "3"}, 3),
        ({"rate_of_arrivals": "", "user_count": "2", "users_with_a_rate": "9"}, 2),
    ],
)
def test_a_rate_decides_how_many_users_there_are_and_without_one_the_form_does(
    master: LocustMaster, fields: dict[str, str], users: int
):
    assert start(master, **fields)["success"]
    wait_until(lambda: master.effects()["users"] == users, f"there are {users} users")
    stop(master)
