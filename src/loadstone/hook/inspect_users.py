"""The user classes of a scenario: which of them would run, where their requests go, and what may still change that."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadstone.settings import UserReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["has_absolute_urls", "has_own_loop", "is_http_user", "report_users"]

_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_STOCK: Final = frozenset({"locust", "loadstone"})
"""Packages whose classes a scenario only inherits from."""


def report_users(users: Mapping[str, Any], options: Any) -> tuple[UserReport, ...]:
    """What is known of each class that Locust would run with these options."""
    chosen = set(getattr(options, "user_classes", None) or users)
    running = [user for name, user in sorted(users.items()) if name in chosen and (user.weight > 0 or user.fixed_count)]
    return tuple(_report(user, getattr(options, "host", None)) for user in running)


def _report(user: Any, given: str | None) -> UserReport:
    own = _own_client(user)
    host = given or (getattr(own, "base_url", None) if own is not None else user.host)
    host = host if isinstance(host, str) else None
    is_http = is_http_user(user)
    decides = _decides_later(user)
    return UserReport(
        name=user.__name__,
        host=host,
        http=is_http,
        needs_host=is_http and host is None and own is None and not decides and not _is_own(user, "host"),
        own_way=decides or bool(getattr(user, "proxy_host", None)),
        own_loop=has_own_loop(user),
        own_waits=any(_is_own(each, "wait_time") for each in _with_task_sets(user)),
    )


def has_own_loop(user: Any) -> bool:
    """Whether the users of a class, or one of its task sets, do not wait between tasks as Locust's do."""
    from locust.user.users import PytestUser  # noqa: PLC0415  (only in a process that has loaded Locust)

    if issubclass(user, PytestUser):
        return True
    loops = (inspect.unwrap(getattr(each, name)) for each in _with_task_sets(user) for name in ("run", "wait"))
    return any(each.__module__.partition(".")[0] not in _STOCK for each in loops)


def _with_task_sets(user: Any) -> set[Any]:
    """A user class and the task sets among its tasks, and those in them."""
    from locust import TaskSet  # noqa: PLC0415  (only in a process that has loaded Locust)

    found, new = set(), {user}
    while new:
        found |= new
        tasks = {task for owner in new for task in owner.tasks or ()}
        new = {task for task in tasks if isinstance(task, type) and issubclass(task, TaskSet)} - found
    return found


def is_http_user(user: Any) -> bool:
    """Whether the users of a class have a client of Locust's for HTTP, or `LeanHttpUser`'s."""
    return _own_client(user) is not None or issubclass(user, _http_users())


def _http_users() -> tuple[type[Any], ...]:
    from locust import FastHttpUser, HttpUser  # noqa: PLC0415  (only in a process that has loaded Locust)

    lean = sys.modules.get("loadstone.lean")
    return (HttpUser, FastHttpUser, *((lean.LeanHttpUser,) if lean else ()))


def _own_client(user: Any) -> Any:
    """The HTTP client that a class has as an attribute, shared by its users; None where there is none."""
    from locust.clients import HttpSession  # noqa: PLC0415
    from locust.contrib.fasthttp import FastHttpSession  # noqa: PLC0415

    client = getattr(user, "client", None)
    return client if isinstance(client, HttpSession | FastHttpSession) else None


def _decides_later(user: Any) -> bool:
    """Whether code of the class or a listener runs before a user's client is made, and may set its host."""
    from locust import events  # noqa: PLC0415

    has_listeners = any(event._handlers for event in (events.init, events.test_start))  # noqa: SLF001
    return has_listeners or _is_own(user, "__init__") or _is_own(user, "__new__")


def _is_own(user: Any, name: str) -> bool:
    """Whether a class of the scenario defines this attribute; a plain ``host = None`` defines nothing."""
    owner = next((base for base in user.__mro__ if name in vars(base)), object)
    is_stock = owner is object or owner.__module__.partition(".")[0] in _STOCK
    return not is_stock and vars(owner)[name] is not None


def has_absolute_urls(users: Iterable[Any]) -> bool:
    """Whether the code of these classes, and of the modules that define them, contains URLs beside their hosts."""
    hosts = {user.host for user in users}
    return any(_has_url(file, hosts) for file in {file for user in users for file in _files_of(user)})


def _files_of(user: Any) -> Iterator[Path]:
    for base in user.__mro__[:-1]:
        if base.__module__.partition(".")[0] not in _STOCK:
            try:
                yield Path(inspect.getfile(base))
            except (OSError, TypeError):  # made in a shell, or by a loader without files
                continue


def _has_url(file: Path, hosts: set[Any]) -> bool:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(_URL.match(text) and text not in hosts for text in _texts_in(tree))


def _texts_in(node: ast.AST) -> Iterator[str]:
    """The texts in a piece of code, without those from which a ``host`` is made."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif not _sets_host(node):
        for child in ast.iter_child_nodes(node):
            yield from _texts_in(child)


def _sets_host(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any("host" in (getattr(target, "id", None), getattr(target, "attr", None)) for target in targets)
