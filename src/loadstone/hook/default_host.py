"""The host that a stack gives to HTTP users where neither the scenario nor Locust's ``--host`` names one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.hook.inspect_users import is_http_user

if TYPE_CHECKING:
    from locust.env import Environment

__all__ = ["give_default_host"]


def give_default_host(environment: Environment, host: str | None) -> None:
    """Set the host of this process, which tells its workers; classes with hosts of their own keep them."""
    users = environment.user_classes
    if host and not environment.host and not any(user.host for user in users) and any(map(is_http_user, users)):
        environment.host = host
