"""A stage for one user class with the servers that it is played against, and cases to play on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from locust.env import Environment

from support.conformance import OK, close

if TYPE_CHECKING:
    from pathlib import Path

    from support.raw_server import RawServer


class Stage:
    """One user class and the servers that it is played against; ``seen`` are the request events, oldest first."""

    def __init__(
        self,
        base: type[Any],
        url: str,
        raw: RawServer,
        tls: tuple[RawServer, RawServer],
        certificate: tuple[Path, Path],
    ) -> None:
        self.base, self.url, self.raw = base, url, raw
        self.tls, self.tls_asking = tls
        self.cert, self.key = (str(path) for path in certificate)
        self.environment = Environment()
        self.runner = self.environment.create_local_runner()
        self.seen: list[dict[str, Any]] = []
        self.environment.events.request.add_listener(lambda **keywords: self.seen.append(keywords))
        self.clients: list[Any] = []

    def user(self, host: str = "", **attributes: Any) -> Any:
        """Make a user of a subclass with these attributes."""
        kind = type("Played", (self.base,), {"host": host or self.url, **attributes})
        made = kind(self.environment)
        self.clients.append(made.client)
        return made

    @property
    def client(self) -> Any:
        """The client of a new user."""
        return self.user().client

    def take_down(self) -> None:
        """Close what the clients keep open, and stop the raw server."""
        for client in self.clients:
            close(client)
        self.runner.quit()
        self.raw.stop()

    def echo(self, method: str = "GET", url: str = "/", client: Any = None, **arguments: Any) -> dict[str, Any]:
        """Make a request to the server that shows what it was sent."""
        shown: dict[str, Any] = (client or self.client).request(method, url, **arguments).json()
        shown["headers"] = dict(shown["headers"])
        return shown

    def header(self, name: str, client: Any = None, **arguments: Any) -> str | None:
        """Give a header field that the server was sent."""
        value: str | None = self.echo(client=client, **arguments)["headers"].get(name)
        return value

    def failed(self) -> bool:
        """Tell whether the last request counts as a failure."""
        return self.seen[-1]["exception"] is not None

    def secure(self, *, asking: bool = False) -> str:
        """Give the address of the TLS server, or of the one that asks for the client's certificate."""
        server = self.tls_asking if asking else self.tls
        return server.answers([server.take, OK] * 3)


Play = Callable[[Stage], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One way to use something; ``differs`` has the stock classes whose outcome is another one, with the reason."""

    play: Play
    differs: dict[str, str] = field(default_factory=dict)


def case(play: Play, **differs: str) -> Case:
    """Make a case; the keywords are names of stock classes."""
    return Case(play=play, differs=differs)
