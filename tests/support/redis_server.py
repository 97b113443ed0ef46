"""A real Redis or Valkey server for a test: its own folder and port, any memory limit, killed and started at will."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.processes import ServerProcess, free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = Retry(NoBackoff(), retries=0)


class RedisServer(ServerProcess):
    """One server on a loopback port, with ``noeviction`` and, unless told otherwise, an append-only file.

    ``folder`` keeps the data, so a server that was killed finds it again. ``maxmemory`` is as in redis.conf ("16mb";
    "0" is no limit). ``rules`` are the lines of an ACL file; they have to let the user ``health`` ping.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        maxmemory: str = "0",
        appendonly: bool = True,
        appendfsync: str = "everysec",
        rules: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._clients: list[redis.Redis] = []
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(folder),
            "save": "",
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": appendfsync,
            "maxmemory": maxmemory,
            "maxmemory-policy": "noeviction",
        }
        self._health = "health" if rules else None
        if rules:
            (folder / "users.acl").write_text(rules)
            settings["aclfile"] = str(folder / "users.acl")
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        super().__init__([binary, *options], log=folder / "server.log", ready=self._answers)

    @property
    def url(self) -> str:
        """The address as loadstone's ``--redis-url`` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, username: str | None = None, password: str | None = None) -> redis.Redis:
        """Return a new client (answers are bytes); it is closed together with the server."""
        client = redis.Redis(
            port=self.port, socket_timeout=10, socket_connect_timeout=5, username=username, password=password
        )
        self._clients.append(client)
        return client

    def set_maxmemory(self, limit: str) -> None:
        """Change the memory limit of the running server; the next start has the first one again."""
        with redis.Redis(host="127.0.0.1", port=self.port) as client:
            client.config_set("maxmemory", limit)

    def fill(self) -> None:
        """Let the running server hold more than it may: it refuses all that may need memory until something is cut."""
        with redis.Redis(host="127.0.0.1", port=self.port) as client:
            wait_until(lambda: self._refuses_more(client), "the server is full", timeout_s=5)

    def _refuses_more(self, client: redis.Redis) -> bool:
        """Lower the limit below what it holds now; it may still free what its last commands needed."""
        self.set_maxmemory(str(int(client.info("memory")["used_memory"]) - 50_000))
        try:
            client.set("more", "x")
        except redis.OutOfMemoryError:
            return True
        client.delete("more")
        return False

    def close(self) -> None:
        """Stop the server and close every client that it gave out."""
        self.kill()
        while self._clients:
            self._clients.pop().close()

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=5, retry=AT_ONCE, username=self._health) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
            return False
