"""What is found out about a scenario before a run, by loading it in a process of its own."""

from __future__ import annotations

import msgspec

from loadstone.settings.command_line import LineReport

__all__ = ["ScenarioReport", "UserReport"]


class UserReport(msgspec.Struct, frozen=True, kw_only=True):
    """One user class of a scenario, and what is known of its target before a run.

    ``http``: its client is one of Locust's HTTP clients or `LeanHttpUser`'s. ``needs_host``: it stops the test when it
    is started without a host, and neither it nor a listener of the scenario can give it one before that.
    ``own_way``: a proxy, or what a listener does before the first request, may let it reach a host that nobody reaches
    now. ``own_loop``: it runs tasks in another way than Locust's users do. ``own_waits``: it has a wait time.
    """

    name: str
    host: str | None = None
    http: bool = False
    needs_host: bool = False
    own_way: bool = False
    own_loop: bool = False
    own_waits: bool = False


class ScenarioReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario defines, or why it cannot be used: ``error`` and what to do about it (``hint``)."""

    error: str = ""
    hint: str = ""
    files: tuple[str, ...] = ()
    line: LineReport = LineReport()
    user_classes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    shape: str | None = None
    shape_takes_options: bool = False
    arrival_shape: str | None = None
    arrival_stages: tuple[str, ...] = ()
    """What its arrival shape gives, as stages of a rate; none where nobody wants to know them."""
    users: tuple[UserReport, ...] = ()
    """The classes that would run."""
    has_absolute_urls: bool = False
    """Whether the scenario's code contains an http(s) URL that is no host of a class."""
