"""A server that answers at once, but for the first STALL_S of every PERIOD_S, in which it answers nobody.

The program's arguments are port, PERIOD_S and STALL_S. Requests that come in a stall are answered at its end.
"""

from __future__ import annotations

import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def left_s(now_s: float, period_s: float, stall_s: float) -> float:
    """How long a request that comes now waits for its answer."""
    return max(0.0, stall_s - now_s % period_s)


async def serve(port: int, period_s: float, stall_s: float) -> None:
    """Serve until killed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if (wait_s := left_s(time.time(), period_s, stall_s)) > 0:
                    await asyncio.sleep(wait_s)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
