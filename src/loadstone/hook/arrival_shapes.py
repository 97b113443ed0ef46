"""The arrival shape of a scenario, and the rate that a run gets from it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadstone.domain.arrival_rate import RateCurve, parse_stages
from loadstone.domain.arrival_shape import ArrivalShape, sampled
from loadstone.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from locust.env import Environment

    from loadstone.settings import HookSettings

__all__ = ["both_rates", "find_arrival_shape", "shape_of", "with_shape"]


def find_arrival_shape(files: Iterable[str | Path], load_shape: str | None) -> ArrivalShape | None:
    """The one that these Locust files define or import, if any; they have been loaded.

    ``load_shape``: name of their `locust.LoadTestShape`. Raises `UsageError` for two, or beside a load shape.
    """
    found = sorted(_of({Path(file).resolve() for file in files}), key=lambda each: each.__name__)
    if not found:
        return None
    if len(found) > 1:
        raise UsageError(
            f"the scenario has {len(found)} arrival shapes: {', '.join(each.__name__ for each in found)}",
            hint="Leave one of them, or name another Locust file with -f",
        )
    (kind,) = found
    if load_shape:
        raise UsageError(
            f"the load shape {load_shape} decides how many users there are, and the arrival shape {kind.__name__} how"
            " many iterations arrive",
            hint="Leave one of them in the scenario",
        )
    try:
        return kind()
    except Exception as error:
        raise UsageError(
            f"the arrival shape {kind.__name__} cannot be made: {type(error).__name__}: {error}",
            hint="It is made without arguments, once for a run",
        ) from error


def shape_of(environment: Environment) -> ArrivalShape | None:
    """That of the scenario of this process. Raises `UsageError` as `find_arrival_shape` does."""
    load_shape = environment.shape_class
    name = type(load_shape).__name__ if load_shape else None
    return find_arrival_shape(environment.parsed_locustfiles or (), name)


def with_shape(environment: Environment, settings: HookSettings) -> HookSettings:
    """The settings of a run, with the rate of the arrival shape if there is one; it may end the run earlier.

    Raises `UsageError` for a shape beside a rate, and for one that cannot be used.
    """
    shape = shape_of(environment)
    if shape is None:
        return settings
    if settings.rate:
        raise both_rates(type(shape).__name__)
    length_s = settings.run_time
    if length_s is None and settings.steady_state is not None:
        length_s = settings.warmup + settings.steady_state
    if length_s is None:
        length_s = getattr(environment.parsed_options, "run_time", None) or None
    rate = sampled(shape, length_s)
    ends_s = RateCurve(parse_stages(rate)).ends_s
    if length_s is None or ends_s < length_s:
        settings = replace(settings, run_time=ends_s, steady_state=None)
    return replace(settings, rate=rate)


def both_rates(shape: str) -> UsageError:
    """The refusal of a rate that is given beside an arrival shape."""
    return UsageError(
        f"the arrival shape {shape} decides how many iterations arrive, and so does --rate",
        hint="Leave --rate out, or run a scenario without an arrival shape",
    )


def _of(files: set[Path]) -> Iterable[type[ArrivalShape]]:
    """Those that one of the files defines or imports, without the bases of others."""
    modules = [module for module in list(sys.modules.values()) if _is_one_of(module, files)]
    named = {id(value) for module in modules for value in vars(module).values() if isinstance(value, type)}
    leaves = [kind for kind in _below(ArrivalShape) if not kind.__subclasses__()]
    # A file that another one has imported is loaded twice.
    return {
        (_source(kind), kind.__qualname__): kind for kind in leaves if id(kind) in named or _source(kind) in files
    }.values()


def _below(kind: type[ArrivalShape]) -> set[type[ArrivalShape]]:
    below = set(kind.__subclasses__())
    return below.union(*map(_below, below))


def _is_one_of(module: Any, files: set[Path]) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and any(file.endswith(each.name) for each in files) and Path(file).resolve() in files


def _source(kind: Any) -> Path | None:
    """Where its function is written: Locust files of one name share one entry among the loaded modules."""
    code = getattr(kind.rate, "__code__", None)
    return Path(code.co_filename).resolve() if code else None
