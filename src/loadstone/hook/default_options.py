"""Mends what messages from the master cost a worker of Locust while users are started.

The master sends one a second until all users run. For each option in it, Locust 2.47 makes a whole parser anew, only to
see whether the option is one of its own: 56 parsers, which take 170 ms of CPU. Eight workers on two cores
had nothing left for their users, sent no heartbeat for three seconds, and were taken for lost.
"""

from __future__ import annotations

from functools import cache

from locust import argument_parser

__all__ = ["install"]

_NAME = "default_args_dict"


def install() -> None:
    """Let Locust find out once what its own options are; without effect on a version that does not ask."""
    make = getattr(argument_parser, _NAME, None)
    if make is not None and not hasattr(make, "cache_clear"):
        setattr(argument_parser, _NAME, cache(make))
