"""A real Locust master in this process, in which a run has begun."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from locust import User
from locust.argument_parser import parse_options
from locust.env import Environment

from loadstone.hook.master import MasterHook
from loadstone.settings import HookSettings, load
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["begun"]


class Idle(User):
    """A user of no service."""


@contextmanager
def begun(redis_url: str) -> Iterator[tuple[MasterHook, Environment]]:
    """A real master in which a run has begun, with Locust's web UI."""
    environment = Environment(user_classes=[Idle], parsed_options=parse_options(["-f", "-"]))
    runner = environment.create_master_runner("127.0.0.1", free_port())
    hook = MasterHook(environment, load(HookSettings, environ={}), redis_url)
    try:
        hook.begin()
        yield hook, environment
    finally:
        hook.end()
        context = runner.server.socket.context
        runner.greenlet.kill()
        runner.server.close()
        context.destroy()
