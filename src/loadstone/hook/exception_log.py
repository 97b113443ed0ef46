"""ExceptionLog: the exceptions of tasks, equal ones together, until they are published."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from loadstone.domain.event import ExceptionRaised
from loadstone.domain.limits import FURTHER_EXCEPTIONS
from loadstone.domain.masking import mask_secrets
from loadstone.domain.time import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ExceptionLog"]

_LIMIT: Final = 100
_TENTH_NS: Final = NS_PER_S // 10


class ExceptionLog:
    """Counts exceptions by message, traceback and tenth of a second, in which a window may begin or end.

    Their secrets are masked. Of those published at once 100 different ones are kept apart: every message may hold a
    number of its own.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Counter[int]] = {}

    def add(self, exception: BaseException, tb: Any, now_ns: int) -> None:
        """A task raised this exception at ``now_ns``."""
        key = (mask_secrets(_message(exception)), mask_secrets("".join(traceback.format_tb(tb))))
        if key not in self._counts and len(self._counts) >= _LIMIT:
            key = FURTHER_EXCEPTIONS
        self._counts.setdefault(key, Counter())[now_ns // _TENTH_NS] += 1

    def take(self, now_ns: int, *, node: str, worker: int) -> Iterator[ExceptionRaised]:
        """What was raised since the last call, one payload for equal exceptions, to be published at ``now_ns``."""
        taken, self._counts = self._counts, {}
        for (message, text), times in taken.items():
            yield ExceptionRaised(
                message=message,
                traceback=text,
                count=times.total(),
                node=node,
                worker=worker,
                ages=tuple((max(0, now_ns // _TENTH_NS - tenth), count) for tenth, count in times.items()),
            )


def _message(exception: BaseException) -> str:
    """The text of an exception, or a stand-in where it has none: a scenario's own type may raise anything."""
    try:
        return str(exception)
    except Exception as error:  # noqa: BLE001
        return f"{type(exception).__name__}, whose text raises {type(error).__name__}"
