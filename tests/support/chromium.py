"""Chromium, headless, driven over its DevTools protocol: what a page shows, says, asks for and looks like."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
import websocket

from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--force-color-profile=srgb", "--remote-allow-origins=*"),
)
START_WITHIN_S = 60
ANSWER_WITHIN_S = 60
NAVIGATED = "Inspected target navigated or closed"


class NavigatedError(Exception):
    """The page was left while a command was under way in it."""


class Browser:
    """One Chromium process, with more ``options`` if given; `page` gives a fresh tab."""

    def __init__(self, program: Path, *options: str) -> None:
        self._port = free_port()
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        flags = [*FLAGS, *options, f"--user-data-dir={self._profile.name}", f"--remote-debugging-port={self._port}"]
        command = [str(program), *flags, "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._profile.cleanup()

    @contextlib.contextmanager
    def page(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Page]:
        """A tab of this size (CSS pixels) and colour scheme."""
        target = httpx.put(f"{self._address}/json/new?about:blank", trust_env=False, timeout=30).json()
        page = Page(target["webSocketDebuggerUrl"])
        try:
            page.prepare(width=width, height=height, dark=dark)
            yield page
        finally:
            page.close()
            httpx.get(f"{self._address}/json/close/{target['id']}", trust_env=False, timeout=30)

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _wait(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{self._address}/json/version", trust_env=False, timeout=2)
                return
            time.sleep(0.1)
        raise AssertionError(f"Chromium did not start (exit {self._process.poll()})")


class Page:
    """One tab. ``requests``: addresses it asked for; ``complaints``: console errors, exceptions, failed loads."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=ANSWER_WITHIN_S, suppress_origin=True)
        self._ids = itertools.count(1)
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the tab."""
        self._socket.close()

    def prepare(self, *, width: int, height: int, dark: bool) -> None:
        """Set size and colours, and listen."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.scheme(dark=dark)

    def scheme(self, *, dark: bool, media: str = "") -> None:
        """Light or dark, screen or print."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; its result. Raises `NavigatedError` when the page is left meanwhile."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                if message.get("error", {}).get("message") == NAVIGATED:
                    raise NavigatedError
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def open(self, address: str, ready: str = "document.readyState === 'complete'") -> None:
        """Go there and wait until ``ready`` (JavaScript) is true."""
        self.call("Page.navigate", url=address)
        self.wait_for(ready)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, within_s: float = 30) -> None:
        """Wait until a JavaScript expression is true, also across pages."""
        deadline = time.monotonic() + within_s
        while not self._holds(script):
            assert time.monotonic() < deadline, f"not true within {within_s} s: {script}; {self.complaints}"
            time.sleep(0.1)

    def _holds(self, script: str) -> bool:
        try:
            return bool(self.evaluate(f"Boolean({script})"))
        except NavigatedError:
            return False

    def press(self, key: str, *, code: int = 0) -> None:
        """Press one key and let go."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, target: Path, *, whole: bool = True) -> None:
        """The whole page as PNG, or what of it is in sight."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        target.write_bytes(base64.b64decode(answer["data"]))

    def foreign(self, *allowed: str) -> list[str]:
        """Requests that went anywhere but to addresses beginning so."""
        return [address for address in self.requests if not address.startswith((*allowed, "data:", "about:"))]

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"])[:500])
        elif message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"]["text"])
        elif message.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "warning"}:
            self.complaints.append(json.dumps(parameters["args"])[:500])
