"""A server that answers at once, but for the last STALL_S of the first half of each PERIOD_S, where it answers nobody.

Its time begins with the first request. Requests that come in a stall are answered at its end. The program's arguments
are port, PERIOD_S and STALL_S.
"""

from __future__ import annotations

import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def wait_s(elapsed_s: float, period_s: float, stall_s: float) -> float:
    """How long a request waits for its answer that comes so long after the first one."""
    left_s = period_s / 2 - elapsed_s % period_s
    return left_s if 0 < left_s <= stall_s else 0.0


async def serve(port: int, period_s: float, stall_s: float) -> None:
    """Serve until killed."""
    begun_s = 0.0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun_s
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                now_s = time.monotonic()
                begun_s = begun_s or now_s
                if pause_s := wait_s(now_s - begun_s, period_s, stall_s):
                    await asyncio.sleep(pause_s)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
