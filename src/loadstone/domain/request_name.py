"""RequestName: what a request is counted under, and the bound on how many different names a run may have.

Archive, live page and InfluxDB count under the same names because all of them clean a name with `RequestName.cleaned`
and admit names with a `NameTable` in the order of the run's journal.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadstone.domain.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["NAME_LIMIT", "OTHER", "NameTable", "RequestName"]

NAME_LIMIT: Final = 500
"""How many request names a run may have (design.md, "InfluxDB"); all further ones share `OTHER`."""


class RequestName(NamedTuple):
    """Method and name, as Locust tells requests apart; either may be empty."""

    method: str
    name: str

    @property
    def label(self) -> str:
        """The name as people read it, such as ``POST /predict``."""
        return f"{self.method} {self.name}".strip()

    @classmethod
    def cleaned(cls, method: str, name: str) -> RequestName:
        """The name as every sink keeps it: secrets masked, control characters made spaces, at most 1 KiB each.

        Backslashes at the end are dropped, because InfluxDB refuses a tag value that ends in one.
        """
        return _cleaned(method, name)


@lru_cache(maxsize=8192)
def _cleaned(method: str, name: str) -> RequestName:
    return RequestName(clean_text(method).rstrip("\\"), clean_text(name).rstrip("\\"))


OTHER: Final = RequestName("", "__other__")
"""Method and name of every request whose name came after `NAME_LIMIT` others."""


class NameTable:
    """Run-wide ids of request names: ``(method, name)`` to 0, 1, 2 ... in order of appearance.

    After ``limit`` names every new one gets the id of `OTHER`, so tags and memory stay bounded.
    """

    def __init__(self, limit: int = NAME_LIMIT) -> None:
        self.limit = limit
        self.names: list[RequestName] = []
        self.capped = False
        self._ids: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name_id: int) -> RequestName:
        return self.names[name_id]

    def id_of(self, method: str, name: str) -> int:
        """The id of one request name; a new one if there is room."""
        key = (method, name)
        found = self._ids.get(key)
        if found is not None:
            return found
        if len(self.names) >= self.limit and key != OTHER:
            self.capped = True
            return self.id_of(*OTHER)
        self._ids[key] = len(self.names)
        self.names.append(RequestName(method, name))
        return self._ids[key]

    def ids_of(self, names: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
        """The ids of a batch's own name table, shape (len(names),): ``ids_of(batch.names)[batch.columns.name]``."""
        known = [self._ids.get(name) for name in names]  # after a run's first batches nearly always all of them
        return np.array([self.id_of(*names[at]) if id_ is None else id_ for at, id_ in enumerate(known)], np.int64)
