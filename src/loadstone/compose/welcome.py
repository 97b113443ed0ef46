"""What a person who has just started the stack should know: which pages to open, and how to see the passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadstone.settings import StackSettings

__all__ = ["welcome_lines"]

_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  (compared with)
_LOOPBACK: Final = "127.0.0.1"


def welcome_lines(settings: StackSettings) -> Iterator[str]:
    """Addresses with the ports that are really published, for whom each page is, and where runs appear."""
    host = "localhost" if settings.bind_address in {_EVERYWHERE, _LOOPBACK} else settings.bind_address
    grafana = "no password to view, " if settings.grafana_anonymous == "true" else ""
    yield "the stack is up; open"
    yield f"  http://{host}:{settings.locust_port}  Locust's web UI: start runs here"
    yield f"  http://{host}:{settings.live_port}  the live page of the current run"
    yield f"  http://{host}:{settings.grafana_port}  Grafana with the boards ({grafana}user admin)"
    yield f"  http://{host}:{settings.mlflow_port}  MLflow, the model registry (user people)"
    if settings.bind_address == _EVERYWHERE:
        yield "these pages listen on every address of this machine: Locust's and the live page have no password"
    yield "passwords: docker compose run --rm cli secrets show"
    yield f"results: {settings.results}"
