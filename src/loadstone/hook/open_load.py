"""What a run of the open model needs before it may begin: a rate, users that can be woken, and how many of them.

It is asked wherever a run is started, before anything is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from loadstone.domain.arrival_rate import RateCurve, parse_stages, spawn_rate_for, users_for
from loadstone.domain.arrival_shape import sampled
from loadstone.errors import UsageError
from loadstone.hook.arrival_shapes import both_rates, shape_of
from loadstone.hook.inspect_users import has_own_loop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from locust.env import Environment

__all__ = ["OpenLoad", "open_load", "refuse_own_loops"]


class OpenLoad(NamedTuple):
    """How many users wait for arrivals, and how many of them are started per second."""

    users: int
    spawn_rate: float


def open_load(
    environment: Environment,
    rate: tuple[str, ...],
    *,
    max_users: int | None = None,
    length_s: float | None = None,
    user_classes: Iterable[Any] | None = None,
) -> OpenLoad | None:
    """What a run gets from its rate, or from the arrival shape of the scenario; None under the closed model.

    ``length_s``: how long it is to be, if that is known; ``user_classes``: other ones than now. Raises `UsageError`
    for what cannot be run.
    """
    shape = shape_of(environment)
    if shape is not None:
        if rate:
            raise both_rates(type(shape).__name__)
        rate = sampled(shape, length_s)
    if not rate:
        return None
    curve = RateCurve(parse_stages(rate))
    if environment.shape_class is not None:
        raise UsageError(
            f"the load shape {type(environment.shape_class).__name__} decides how many users there are, and a rate how"
            " many iterations arrive",
            hint="Leave the rate out, or run a scenario without a load shape",
        )
    refuse_own_loops(environment.user_classes if user_classes is None else user_classes)
    users = max_users or users_for(curve)
    return OpenLoad(users, spawn_rate_for(users))


def refuse_own_loops(user_classes: Iterable[Any]) -> None:
    """Raise `UsageError` for users whom no arrival can wake."""
    if alone := sorted(each.__name__ for each in user_classes if has_own_loop(each)):
        raise UsageError(
            f"users of {', '.join(alone)} run their tasks in a way of their own, so no arrival can begin them",
            hint="Leave the rate out, or choose other user classes of the scenario",
        )
