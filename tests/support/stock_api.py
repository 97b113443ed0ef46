"""What Locust's two HTTP user classes offer a scenario, read off the installed Locust and requests.

`rows` gives every public attribute, method and argument of the user classes, their clients and their responses, so that
a new version of Locust that has more of them shows here first.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import locust.clients
import locust.contrib.fasthttp
import requests
from locust import FastHttpUser, HttpUser, User
from locust.clients import HttpSession
from locust.clients import RestResponseContextManager as HttpResponse
from locust.contrib.fasthttp import ErrorResponse, FastHttpSession, FastRequest, LocustUserAgent
from locust.contrib.fasthttp import RestResponseContextManager as FastResponse
from locust.env import Environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

USER, CLIENT, ARGUMENT, RESPONSE = "user class", "client", "argument of a request", "response"
VERBS: Final = ("get", "head", "options", "delete", "post", "put", "patch")
MODULES: Final = {"HttpUser": locust.clients, "FastHttpUser": locust.contrib.fasthttp}
SPECIAL: Final = ("__bool__", "__enter__", "__iter__", "__len__")
"""Special methods that a scenario uses: `if response`, `with`, `for`, `len(response)`."""
PASSED_BY_LOCUST: Final = frozenset(("payload",))
"""Arguments of geventhttpclient that FastHttpSession passes itself, so that a scenario cannot."""


@dataclass(frozen=True, order=True, kw_only=True, slots=True)
class Row:
    """One thing that at least one of the classes offers, e.g. ``max_redirects`` or ``iter_lines(delimiter)``."""

    part: str
    name: str
    classes: tuple[str, ...]


def rows() -> list[Row]:
    """Give all rows, in order."""
    found: dict[tuple[str, str], list[str]] = {}
    for class_name in MODULES:
        for part, names in _offers(class_name).items():
            for name in names:
                found.setdefault((part, name), []).append(class_name)
    order = [USER, CLIENT, ARGUMENT, RESPONSE]
    return [
        Row(part=part, name=name, classes=tuple(found[part, name]))
        for part, name in sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    ]


def _offers(class_name: str) -> dict[str, set[str]]:
    user, client, response, made, behind = _kinds(class_name)
    live = type("Live", (user,), {"host": "http://127.0.0.1:9"})(Environment())
    of_user = (_public(user) | set(vars(live))) - (_public(User) | set(vars(User(Environment()))))
    of_client, of_response = _public(client), _public(response)
    return {
        USER: _shown(of_user | _arguments(user, of_user)),
        CLIENT: _shown(of_client | set(vars(live.client)) | _arguments(client, of_client - {"request", *VERBS})),
        ARGUMENT: _of_requests(class_name, client, behind),
        RESPONSE: _shown(of_response | _annotated(response) | set(made) | _arguments(response, of_response)),
    }


def _kinds(class_name: str) -> tuple[Any, Any, Any, dict[str, Any], Any]:
    """Give the classes of user, client and response, what a made response has, and what sends a request in the end."""
    if class_name == "HttpUser":
        return HttpUser, HttpSession, HttpResponse, vars(requests.Response()), requests.Session.request
    failed = ErrorResponse(FastRequest("http://127.0.0.1:9"), Exception())
    made = FastResponse(failed, None, {}, catch_response=True)
    return FastHttpUser, FastHttpSession, FastResponse, vars(made), LocustUserAgent.urlopen


def _of_requests(class_name: str, client: type[Any], behind: Callable[..., Any]) -> set[str]:
    named = {name for verb in ("request", *VERBS) for name in _parameters(getattr(client, verb))}
    return (named | _parameters(behind) | _typed_dictionaries(MODULES[class_name])) - PASSED_BY_LOCUST


def _typed_dictionaries(module: Any) -> set[str]:
    """Give the keys of the dictionaries that type the keyword arguments of requests; they exist for type checkers."""
    return {
        line.target.id
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Kwargs")
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


def _arguments(owner: type[Any], names: Iterable[str]) -> set[str]:
    """Give the arguments of the public methods among ``names``, each as ``method(argument)``."""
    methods = {name: value for name in names if callable(value := getattr(owner, name, None))}
    return {f"{name}({argument})" for name, method in methods.items() for argument in _parameters(method)}


def _parameters(function: Callable[..., Any]) -> set[str]:
    variable = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    found = inspect.signature(function).parameters.values()
    return {each.name for each in found if each.kind not in variable and each.name != "self"} - {"_args"}


def _public(owner: type[Any]) -> set[str]:
    special = {name for kind in owner.__mro__ for name in SPECIAL if name in vars(kind)}
    return {name for name in dir(owner) if not name.startswith("_")} | special


def _annotated(owner: type[Any]) -> set[str]:
    return {name for kind in owner.__mro__ for name in inspect.get_annotations(kind)}


def _shown(names: set[str]) -> set[str]:
    return {name for name in names if not name.startswith("_") or name in SPECIAL}
