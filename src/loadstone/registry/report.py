"""ModelReport: what is told of a model version: tags of the version, and an MLflow run with figures and files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ModelReport", "ServedVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """A version of a registered model. ``trained_by``: the MLflow run that it comes from, where that is known."""

    name: str
    number: str
    trained_by: str | None = None

    @property
    def uri(self) -> str:
        """MLflow's URI of it."""
        return f"models:/{self.name}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """What is written about ``served``; None where the target did not say which version it serves.

    ``tags`` take the place of all earlier tags of the version that begin with ``prefix``; where there are none, nothing
    is known for certain, and the version stays as it is. ``metrics``: a figure's values, one for each step.
    """

    name: str
    prefix: str
    served: ServedVersion | None
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    files: Sequence[Path] = ()
