"""How each attribute and method of the responses of Locust's HTTP user classes is played; see `support.stock_cases`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from locust.exception import LocustError

from support.stage import case
from support.stock_cases import caught

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.stage import Case, Play, Stage

CRLF_LINES: Final = "one\r\n\r\ntwo\r\nthree"
LINK: Final = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLink: </a?p=2>; rel="next", </b>; rel="last"; title="B"\r\n\r\nok'
)
TEXT: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"


def got(path: str, look: Callable[[Any], Any], **arguments: Any) -> Play:
    """Get a path; give what ``look`` finds in the response."""
    return lambda stage: look(stage.client.get(path, **arguments))


def echoed(body: str, look: Callable[[Any], Any], *, stream: bool = True) -> Play:
    """Let the server send ``body`` back; give what ``look`` finds in the response."""
    return lambda stage: look(stage.client.post("/body", data=body.encode(), stream=stream))


def raw(answer: bytes, look: Callable[[Any], Any], **arguments: Any) -> Play:
    """Let the raw server answer with these bytes; give what ``look`` finds in the response."""

    def play(stage: Stage) -> Any:
        return look(stage.user(stage.raw.answers([stage.raw.take, answer])).client.get("/", **arguments))

    return play


def as_text(text: str) -> bytes:
    """Give an answer of text in UTF-8 that says so."""
    body = text.encode()
    return TEXT % (len(body), body)


def raised(response: Any) -> bool:
    """Tell whether the response raises for its status."""
    try:
        response.raise_for_status()
    except Exception:  # noqa: BLE001  # each class has errors of its own
        return True
    return False


def error_raised(response: Any) -> Any:
    """Give the name of the error that the response raises for its status."""
    try:
        response.raise_for_status()
    except Exception as error:  # noqa: BLE001
        return type(error).__name__


def entered_uncaught(stage: Stage) -> Any:
    """Use a response in a with block without saying so to the request."""
    try:
        with stage.client.get("/"):
            return None
    except LocustError as error:
        return str(error)


def joined(pieces: Any) -> Any:
    """Give the pieces in one: how a body that arrives is cut is up to the network."""
    found = list(pieces)
    return found and type(found[0])().join(found)


def given_up(stage: Stage, method: str) -> Any:
    """Give up a stream, then make another request."""
    client = stage.client
    getattr(client.get("/big/3000000", stream=True), method)()
    return client.get("/big/3").content


def refused(stage: Stage) -> Any:
    """Ask a port that nobody listens at."""
    response = stage.user("http://127.0.0.1:9").client.get("/")
    return response.status_code, response.error is not None, response.ok if stage.base.__name__ != "HttpUser" else True


def decoded_as(encoding: str) -> Callable[[Any], Any]:
    """Give what finds the text of a response in another charset."""

    def look(response: Any) -> Any:
        response.encoding = encoding
        return response.text

    return look


def by_rest(stage: Stage, path: str) -> Any:
    with stage.user().rest("GET", path) as response:
        return response.js is not None and response.js["path"], stage.seen


def what_was_sent(stage: Stage) -> Any:
    request = stage.client.post("/p?x=1", data=b"body", headers={"X-A": "1"}).request
    return request.method, request.url == f"{stage.url}/p?x=1", request.headers["x-a"], request.body


def read_line_by_line(response: Any) -> Any:
    stream = response.stream
    return stream.readline(), stream.readline(), stream.readline(b"\n"), stream.readline(), stream.read()


RAW: Final = "gives the body of a stream as it was sent, still compressed"
READ_ALREADY: Final = "has nothing left of a body that was read already"
UNSAID: Final = "lets a response without `catch_response=True` into a with block"
AS_BYTES: Final = False
AS_TEXT: Final = "gives pieces as bytes unless `decode_unicode=True`"
RESPONSE_CASES: Final[dict[str, list[Case]]] = {
    "__bool__": [case(got("/big/0", bool)), case(got("/status/302", bool)), case(got("/status/404", bool))],
    "__enter__": [
        case(lambda stage: caught(stage, lambda _: None, "/big/1")),
        case(entered_uncaught, FastHttpUser=UNSAID),
    ],
    "__iter__": [case(got("/big/9000", joined, stream=True))],
    "__len__": [case(got("/big/9", len)), case(got("/big/9", len, stream=True))],
    "apparent_encoding": [case(got("/latin", lambda response: response.apparent_encoding is not None))],
    "close": [case(lambda stage: given_up(stage, "close"))],
    "content": [
        case(got("/encoded/gzip", lambda response: response.content)),
        case(got("/encoded/br", lambda response: response.content, stream=True)),
    ],
    "cookies": [case(got("/cookies", lambda response: response.cookies.get_dict()))],
    "data": [case(got("/big/3", lambda response: response.data))],
    "elapsed": [case(got("/", lambda response: timedelta(0) < response.elapsed < timedelta(seconds=20)))],
    "encoding": [
        case(
            got("/latin", lambda response: response.encoding),
            FastHttpUser="has None until `text` is read",
        ),
        case(got("/latin", lambda response: (response.text, response.encoding))),
        case(got("/latin", decoded_as("utf-8"))),
    ],
    "error": [case(refused)],
    "failure": [
        case(lambda stage: caught(stage, lambda response: response.failure("no"))),
        case(lambda stage: caught(stage, lambda response: response.failure(ValueError("no")))),
        case(lambda stage: caught(stage, lambda response: response.failure("no"), "/big/1")),
    ],
    "failure(exc)": [case(lambda stage: caught(stage, lambda response: response.failure(exc="no")))],
    "headers": [
        case(got("/latin", lambda response: (response.headers["CONTENT-type"], response.headers.get("x")))),
        case(got("/latin", lambda response: "content-length" in response.headers)),
    ],
    "history": [
        case(got("/redirect/302/big/5", lambda response: [hop.status_code for hop in response.history])),
        case(got("/", lambda response: (response.history == [], len(response.history + [1])))),  # noqa: RUF005
    ],
    "info": [case(got("/latin", lambda response: response.info()["content-type"]))],
    "is_permanent_redirect": [
        case(got("/redirect/301/x", lambda response: response.is_permanent_redirect, allow_redirects=False)),
        case(got("/redirect/302/x", lambda response: response.is_permanent_redirect, allow_redirects=False)),
    ],
    "is_redirect": [
        case(got("/redirect/302/x", lambda response: response.is_redirect, allow_redirects=False)),
        case(got("/", lambda response: response.is_redirect)),
    ],
    "isclosed": [
        case(got("/big/3", lambda response: response.isclosed())),
        case(
            got(
                "/big/300000",
                lambda response: (response.isclosed(), response.read() and response.isclosed()),
                stream=True,
            )
        ),
    ],
    "iter_content": [
        case(
            got("/big/3000", lambda response: joined(response.iter_content()), stream=True),
            HttpUser=AS_TEXT,
        ),
        case(got("/big/3000", lambda response: joined(response.iter_content(100, AS_BYTES)), stream=True)),
        case(
            got("/encoded/gzip", lambda response: joined(response.iter_content(100, AS_BYTES)), stream=True),
            FastHttpUser=RAW,
        ),
    ],
    "iter_content(chunk_size)": [
        case(got("/big/10", lambda response: list(response.iter_content(4, AS_BYTES)), stream=True)),
        case(got("/big/10", lambda response: list(response.iter_content(4, AS_BYTES))), FastHttpUser=READ_ALREADY),
        case(got("/big/9000", lambda response: joined(response.iter_content(None, AS_BYTES)), stream=True)),
        case(got("/big/9", lambda response: list(response.iter_content(None, AS_BYTES))), FastHttpUser=READ_ALREADY),
    ],
    "iter_content(decode_content)": [
        case(got("/big/3000", lambda response: joined(response.iter_content(decode_content=False)), stream=True)),
        case(got("/big/3000", lambda response: joined(response.iter_content(decode_content=True)), stream=True)),
    ],
    "iter_content(decode_unicode)": [
        case(
            raw(as_text("aüb" * 9), lambda response: joined(response.iter_content(4, decode_unicode=True)), stream=True)
        ),
        case(raw(as_text("aüb" * 9), lambda response: joined(response.iter_content(4, decode_unicode=True)))),
        case(got("/big/3", lambda response: joined(response.iter_content(decode_unicode=True)))),
    ],
    "iter_lines": [
        case(echoed(CRLF_LINES, lambda response: list(response.iter_lines()))),
        case(echoed(CRLF_LINES, lambda response: list(response.iter_lines()), stream=False)),
        case(echoed("one\n\ntwo\rthree\n", lambda response: list(response.iter_lines()))),
        case(got("/stream", lambda response: list(response.iter_lines()), stream=True)),
        case(got("/encoded/gzip", lambda response: list(response.iter_lines()), stream=True)),
    ],
    "iter_lines(chunk_size)": [
        case(echoed("one\n\ntwo\nthree", lambda response: list(response.iter_lines(chunk_size=2))))
    ],
    "iter_lines(decode_unicode)": [
        case(raw(as_text("ü\r\n\r\nä"), lambda response: list(response.iter_lines(decode_unicode=True)), stream=True)),
        case(echoed(CRLF_LINES, lambda response: list(response.iter_lines(decode_unicode=True)))),
        case(echoed(CRLF_LINES, lambda response: list(response.iter_lines(decode_unicode=False)))),
    ],
    "iter_lines(delimiter)": [
        case(echoed("a|b||c|", lambda response: list(response.iter_lines(delimiter=b"|")))),
        case(raw(as_text("a|ü"), lambda response: list(response.iter_lines(delimiter="|", decode_unicode=True)))),
    ],
    "js": [case(lambda stage: by_rest(stage, "/x")[0]), case(lambda stage: by_rest(stage, "/big/0")[0])],
    "json": [case(got("/", lambda response: response.json()["path"]))],
    "links": [case(raw(LINK, lambda response: response.links)), case(got("/", lambda response: response.links))],
    "ok": [
        case(got("/", lambda response: response.ok)),
        case(got("/status/404", lambda response: response.ok)),
    ],
    "raise_for_status": [
        case(got("/", raised)),
        case(got("/status/404", raised)),
        case(
            got("/status/404", error_raised),
            HttpUser="raises `requests.HTTPError` where both others raise `LocustBadStatusCode`",
        ),
        case(
            lambda stage: caught(stage, lambda response: response.success() or response.failure(str(raised(response))))
        ),
    ],
    "read": [case(got("/big/9000", lambda response: len(response.read()), stream=True))],
    "read(n)": [
        case(got("/big/9000", lambda response: [len(response.read(n)) for n in (10, 8000, 5000, 1)], stream=True)),
    ],
    "readline": [case(echoed(CRLF_LINES, lambda response: [response.readline() for _ in range(4)]))],
    "reason": [case(got("/status/404", lambda response: response.reason))],
    "release": [case(lambda stage: given_up(stage, "release"))],
    "request": [case(what_was_sent)],
    "request_meta": [
        case(lambda stage: caught(stage, lambda response: response.failure(min(response.request_meta)))),
        case(
            lambda stage: (
                caught(stage, lambda response: response.request_meta.__setitem__("name", "mine")),
                stage.seen[-1]["name"],
            )[1]
        ),
    ],
    "status": [case(got("/status/404", lambda response: response.status))],
    "status_code": [case(got("/status/404", lambda response: response.status_code))],
    "stream": [
        case(echoed("one\r\ntwo\r\nthree\nfour\r\nfive", read_line_by_line)),
        case(got("/stream", lambda response: b"".join(response.stream), stream=True)),
        case(
            got("/big/9000", lambda response: [len(response.stream.read(n)) for n in (10, 8000, 5000, 1)], stream=True)
        ),
        case(got("/big/9000", lambda response: (response.content and b"") + response.stream.read(), stream=True)),
        case(got("/big/9", lambda response: (response.stream.read(), list(response.stream)))),
    ],
    "success": [
        case(lambda stage: caught(stage, lambda response: response.success())),
        case(lambda stage: caught(stage, lambda _: None, "/big/1")),
    ],
    "text": [
        case(got("/latin", lambda response: response.text)),
        case(got("/", lambda response: response.text.startswith("{"))),
    ],
    "url": [
        case(lambda stage: stage.client.get("/p?x=1").url == f"{stage.url}/p?x=1"),
        case(lambda stage: stage.client.get("/redirect/302/big/5").url == f"{stage.url}/big/5"),
    ],
}
