"""The hosts of the user classes in a process that stays for several runs, and the one that a stack gives to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadstone.hook.inspect_users import is_http_user

if TYPE_CHECKING:
    from locust.env import Environment

__all__ = ["ClassHosts", "give_default_host"]


def give_default_host(environment: Environment, host: str | None) -> None:
    """Set the host of each HTTP class without one, unless Locust's ``--host`` names one for all.

    The environment's host stays as it is: it would take the place of one that the scenario sets when a test starts.
    """
    if host and not environment.host:
        for user in environment.user_classes:
            if not user.host and is_http_user(user):
                user.host = host


class ClassHosts:
    """The hosts of the classes before the first run: Locust copies that of a run into them, and leaves it there."""

    def __init__(self, environment: Environment) -> None:
        self._own = {user: user.host for user in environment.user_classes}
        self._given: str | None = None

    def begin(self, environment: Environment) -> None:
        """A test starts, and Locust has yet to copy its host: take back that of the test before."""
        for user, own in self._own.items():
            if self._given and user.host == self._given:
                user.host = own
        self._given = environment.host
