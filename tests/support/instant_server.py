"""A server that answers every write with 204 at once and keeps nothing: what is left is the cost of the client."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from support.processes import ServerProcess, free_port, port_answers

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


class InstantServer(ServerProcess):
    """The server as a process of its own: ``.url .start() .kill()``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "support.instant_server", str(self.port)]
        super().__init__(command, log=folder / "instant.log", ready=lambda: port_answers(self.port))

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read requests whole and answer them, until the client goes."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 : lower.find(b"\r\n", at)]) if at >= 0 else 0
        while length:
            length -= len(await reader.read(min(length, 1 << 20)))
        writer.write(ANSWER)


async def serve(port: int) -> None:
    """Serve for ever."""

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(quietly, "127.0.0.1", port, limit=1 << 20) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
