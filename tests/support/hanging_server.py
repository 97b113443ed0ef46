"""A target that stops answering: it accepts every request and answers all, one in ten or none of them, as told."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
_BODY_FOLLOWS = b"content-length:"


class HangingServer:
    """Serves on 127.0.0.1 in a thread of its own. ``received`` counts requests, ``answered`` those it has answered.

    It answers one of ``answers_one_in`` requests, None: none. Requests that it did not answer stay open until `resume`.
    """

    def __init__(self, *, delay_s: float = 0.005) -> None:
        self.received = self.answered = 0
        self.answers_one_in: int | None = 1
        self.url = ""
        self._delay_s = delay_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._resumed = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = starting.result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *raised: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def hang(self) -> None:
        """Answer nobody from now on."""
        self.answers_one_in = None

    def resume(self) -> None:
        """Answer everybody, those too that wait."""
        self.answers_one_in = 1
        self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._resumed.set()
        self._resumed = asyncio.Event()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        here = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not here]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(_length(head))
                self.received += 1
                if self.answers_one_in is None or self.received % self.answers_one_in:
                    await self._resumed.wait()
                await asyncio.sleep(self._delay_s)
                writer.write(_ANSWER)
                self.answered += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()


def _length(head: bytes) -> int:
    fields = (line.lower() for line in head.split(b"\r\n"))
    return next((int(field[len(_BODY_FOLLOWS) :]) for field in fields if field.startswith(_BODY_FOLLOWS)), 0)
