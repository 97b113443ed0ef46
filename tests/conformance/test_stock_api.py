"""Every argument, attribute and method of HttpUser and FastHttpUser: LeanHttpUser has it, or says what to write."""

from __future__ import annotations

import inspect
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from locust import FastHttpUser, HttpUser
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.exception import StopTest

from loadstone import LeanHttpUser
from loadstone.lean import LeanHttpSession, instead
from support.raw_server import RawServer
from support.stage import Stage
from support.stock_api import ARGUMENT, CLIENT, RESPONSE, USER, VERBS, rows
from support.stock_table import CASES, UNSUPPORTED, page, uncovered
from support.tls_server import issue, tls_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "lean-http-user-api.md"
STOCK: dict[str, Any] = {"HttpUser": HttpUser, "FastHttpUser": FastHttpUser}
PLAYED = [
    pytest.param(row, number, stock, id=f"{row.part}: {row.name} {number + 1}, {stock}")
    for row in rows()
    for number, _ in enumerate(CASES[row.part].get(row.name, ()))
    for stock in row.classes
]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1."""
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return issue(tmp_path_factory.mktemp("tls"), *names)


@pytest.fixture
def stage(uvicorn_url: str, certificate: tuple[Path, Path]) -> Iterator[Callable[[Any], Stage]]:
    """Set the stage for one user class; everything is taken down after the test."""
    made: list[Stage] = []
    with tls_server(certificate) as plain, tls_server(certificate, asks_for_one=True) as asking:

        def make(base: Any) -> Stage:
            made.append(Stage(base, uvicorn_url, RawServer(), (plain, asking), certificate))
            return made[-1]

        yield make
        for each in made:
            each.take_down()


def outcome(made: Stage, play: Callable[[Stage], Any]) -> Any:
    """Play a case; an error that reaches the scenario is an outcome as well."""
    try:
        return play(made)
    except Exception as error:
        if made.base is LeanHttpUser:
            raise
        return error


@pytest.mark.conforms(
    "LeanHttpUser in place of HttpUser or FastHttpUser: every argument, attribute and method of both",
    "equal; what differs or is not supported is in [a table](lean-http-user-api.md), with what to write instead",
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the stock clients drop sockets of failed requests unclosed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize(("row", "number", "stock"), PLAYED)
def test_a_scenario_sees_what_it_sees_with_the_other_class(stage: Any, row: Any, number: int, stock: str):
    case = CASES[row.part][row.name][number]
    theirs = outcome(stage(STOCK[stock]), case.play)
    ours = outcome(stage(LeanHttpUser), case.play)
    assert (ours == theirs) == (stock not in case.differs), f"{stock}: {theirs!r}\nLeanHttpUser: {ours!r}"


def test_nothing_that_the_installed_locust_offers_is_missing_from_the_table():
    assert uncovered() == []


def test_nothing_is_both_played_and_not_supported():
    both = {(part, name) for part in CASES for name in CASES[part]} & {
        (part, name) for part in UNSUPPORTED for name in UNSUPPORTED[part]
    }
    assert both == set()


@pytest.fixture
def client() -> Any:
    return type("Switched", (LeanHttpUser,), {"host": "http://127.0.0.1:9"})(Environment()).client


@pytest.mark.parametrize("name", sorted(UNSUPPORTED[USER]))
def test_an_attribute_of_the_class_that_is_not_supported_is_refused_with_what_to_write(name: str):
    said = f"LeanHttpUser's class has no {name!r}; {instead.USER[name]}"
    with pytest.raises(TypeError) as refused:
        type("Refused", (LeanHttpUser,), {"host": "http://127.0.0.1:9", name: object()})
    assert str(refused.value) == said

    class Late(LeanHttpUser):
        host = "http://127.0.0.1:9"

    setattr(Late, name, object())
    with pytest.raises(StopTest) as stopped:
        Late(Environment())
    assert str(stopped.value) == said


@pytest.mark.parametrize("name", sorted(UNSUPPORTED[CLIENT]))
def test_an_attribute_of_the_client_that_is_not_supported_is_refused_with_what_to_write(client: Any, name: str):
    said = f"LeanHttpUser's client has no {name!r}; {instead.CLIENT[name]}"
    with pytest.raises(AttributeError) as read:
        getattr(client, name)
    with pytest.raises(AttributeError) as written:
        setattr(client, name, None)
    assert (str(read.value), str(written.value)) == (said, said)


@pytest.mark.parametrize("verb", ["get", "post"])
@pytest.mark.parametrize("name", sorted(UNSUPPORTED[ARGUMENT]))
def test_an_argument_that_is_not_supported_is_refused_with_what_to_write(client: Any, name: str, verb: str):
    with pytest.raises(TypeError) as refused:
        getattr(client, verb)("/", **{name: {"http": "x"}})
    assert str(refused.value) == f"a request of LeanHttpUser takes no argument {name!r}; {instead.ARGUMENT[name]}"


@pytest.mark.parametrize("name", sorted(UNSUPPORTED[RESPONSE]))
def test_an_attribute_of_a_response_that_is_not_supported_is_refused_with_what_to_write(client: Any, name: str):
    with pytest.raises(AttributeError) as refused:
        getattr(client.get("/"), name)
    assert str(refused.value) == f"LeanHttpUser's response has no {name!r}; {instead.RESPONSE[name]}"


@pytest.mark.parametrize("method", ["request", *VERBS, "iter_lines", "rename_request"])
def test_arguments_by_position_are_those_of_fast_http_user(method: str):
    def by_position(client: Any) -> list[str]:
        found = inspect.signature(getattr(client, method)).parameters.values()
        return [each.name for each in found if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]

    assert by_position(LeanHttpSession) == by_position(FastHttpSession)


def test_the_docs_have_the_table():
    assert DOCS.read_text() == page()
