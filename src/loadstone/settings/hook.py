"""The settings of the hook inside Locust's processes, and of the runs that a master is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from loadstone.settings import parse
from loadstone.settings.load import setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["HookOnlySettings", "HookSettings", "MaskSettings", "RunRequest"]


def _json_object(value: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(value, type=dict[str, object])
    except msgspec.MsgspecError:
        raise ValueError("a JSON object") from None


def _json_words(value: str) -> tuple[str, ...]:
    try:
        return msgspec.json.decode(value, type=tuple[str, ...])
    except msgspec.MsgspecError:
        raise ValueError("a JSON list of texts") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The run that a client requests from a waiting master over HTTP (`loadstone run --stack`)."""

    users: int = setting(parse.whole_number(1), "peak number of users", default="50")
    spawn_rate: float = setting(parse.number_above(0), "users started per second", default="10")
    host: str | None = setting(
        parse.target, "base URL of the target, in place of the hosts that the scenario's classes have"
    )
    run_time: float | None = setting(parse.duration_s, "length of the run, from its start")
    steady_state: float | None = setting(parse.duration_s, "length of the run, from the end of ramp and warm-up")
    warmup: float = setting(parse.duration_s, "time after the ramp that objectives do not cover", default="0")
    objective: tuple[str, ...] = setting(parse.lines, "objectives for the measurement window", repeatable=True)
    seed: int | None = setting(parse.whole_number(0), "seed of each worker's random numbers")
    rate: tuple[str, ...] = setting(parse.lines, "stages of the rate of arrivals (open model)", repeatable=True)
    arrivals: str = setting(parse.choice("poisson", "constant"), "how arrivals are spread in time", default="poisson")
    max_users: int | None = setting(
        parse.whole_number(1), "in place of users, how many may be busy at once where an arrival shape gives the rate"
    )
    exit_code_on_error: int | None = setting(
        parse.whole_number(0, 255), "exit code of a run in which requests failed, in place of Locust's own option"
    )
    launch: str | None = setting(parse.text, "id of this request, by which the client finds the run")
    limits: Mapping[str, object] | None = setting(
        _json_object, "limits of the target, a JSON object, in place of those that the master knows"
    )
    target: Mapping[str, object] | None = setting(
        _json_object, "what the target is, a JSON object, in place of what the master knows"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSettings:
    """What every process of the platform asks its environment; commands that start others pass it on."""

    masking: bool = setting(
        parse.boolean, "replace secrets in names, errors, events and logs by ***, see secrets.md", default="yes"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOnlySettings(MaskSettings):
    """Settings of the hook that no option gives: commands that start Locust pass their variables on to it."""

    target: Mapping[str, object] | None = setting(_json_object, "the target's description of itself, a JSON object")
    limits: Mapping[str, object] | None = setting(_json_object, "CPU and memory limits of the target, a JSON object")
    live_link: str | None = setting(
        parse.http_url,
        "address of the live page for browsers, if it is another one; localhost stands for the host under which a"
        " browser has opened Locust's web UI",
    )
    grafana_link: str | None = setting(
        parse.http_url, "address of Grafana for browsers, with localhost as in the address of the live page"
    )
    control_token: str | None = setting(
        parse.text, "token with which programs may use Locust's web UI, for `loadstone run --stack`"
    )
    web_guard: str = setting(
        parse.choice("all", "own"),
        "routes of Locust's web UI that answer nobody but its own pages: all, or loadstone's own; `loadstone up` and"
        " the compose stack guard all",
        default="own",
    )
    heartbeat_file: Path | None = setting(
        parse.path, "file that a worker touches while it is connected to its master, for health checks"
    )
    fast_http_fix: bool = setting(
        parse.boolean,
        "patch FastHttpUser so that it keeps connections alive above 1,000 users per process",
        default="yes",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings(HookOnlySettings):
    """Settings of the hook inside Locust's processes, from the environment only."""

    redis_url: str | None = setting(
        parse.redis_url, "Redis or Valkey that receives batches and events; without it nothing is recorded"
    )
    run_time: float | None = setting(parse.duration_s, "time after which the master ends the run, from its start")
    steady_state: float | None = setting(
        parse.duration_s, "time after which the master ends the run, from the end of ramp and warm-up"
    )
    warmup: float = setting(parse.duration_s, "time after the ramp that objectives do not cover", default="0")
    objective: tuple[str, ...] = setting(parse.lines, "objectives for the measurement window", repeatable=True)
    seed: int | None = setting(parse.whole_number(0), "seed of each worker's random numbers")
    rate: tuple[str, ...] = setting(parse.lines, "stages of the rate of arrivals (open model)", repeatable=True)
    arrivals: str = setting(parse.choice("poisson", "constant"), "how arrivals are spread in time", default="poisson")
    max_users: int | None = setting(
        parse.whole_number(1), "how many users may be busy at once in runs with a rate that Locust's web UI starts"
    )
    launch: str | None = setting(
        parse.text, "id of the command that started these processes, by which it finds the run"
    )
    locust_words: tuple[str, ...] | None = setting(
        _json_words,
        "what Locust's own variables and files gave, as a JSON list of options; they are then not read again",
    )
    locust_arguments: tuple[str, ...] | None = setting(
        _json_words, "options for Locust that are not to be seen on its command line, as a JSON list"
    )
    held_until: Path | None = setting(
        parse.path, "file that a process waits for before it starts Locust; it holds more variables, a JSON object"
    )
    live_url: str | None = setting(parse.http_url, "address from which Locust's web UI reads the live state")
    allowed_hosts: tuple[str, ...] = setting(
        parse.allowed_hosts,
        "further host names under which Locust's web UI may be opened; *.NAME: all below one, *: every name",
        repeatable=True,
    )
    default_host: str | None = setting(
        parse.http_url, "base URL for HTTP users where neither the scenario nor Locust's --host names one"
    )
