"""How each argument, attribute and method of Locust's HTTP user classes is played, so that outcomes can be compared.

A case is played with one user class; what it gives is compared with what `LeanHttpUser` gives.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import gevent

from support.conformance import OK
from support.stage import Case, Play, Stage, case

if TYPE_CHECKING:
    from collections.abc import Callable

OFF: Final = False
BOUNDARY: Final = "one boundary"


def caught(stage: Stage, judge: Callable[[Any], None], path: str = "/status/404") -> Any:
    """Play a request in a with block; give whether it failed, and why if the scenario said so."""
    with stage.client.get(path, catch_response=True) as response:
        judge(response)
    problem = stage.seen[-1]["exception"]
    return problem and type(problem).__name__ == "CatchResponseError" and str(problem)


def multipart(stage: Stage, files: Any, data: Any = None) -> str:
    """Upload ``files``; give the body with the boundary replaced."""
    shown = stage.echo("POST", files=files, data=data)
    boundary = shown["headers"]["content-type"].partition("boundary=")[2]
    return str(shown["body"]).replace(boundary, BOUNDARY)


def changed(name: str, value: Any, seen: Callable[[Stage, Any], Any]) -> Play:
    """Set an attribute of a client, then give what ``seen`` finds."""

    def play(stage: Stage) -> Any:
        client = stage.client
        setattr(client, name, value)
        return seen(stage, client)

    return play


def through_headers(stage: Stage) -> Any:
    client = stage.client
    client.headers.update({"X-A": "1", "X-B": "2"})
    client.headers["authorization"] = "Bearer token"
    del client.headers["x-b"]
    shown = stage.echo(client=client, headers={"x-a": "3"})["headers"]
    return [shown.get(name) for name in ("x-a", "x-b", "authorization")], client.headers["X-a"]


def through_cookies(stage: Stage) -> Any:
    client = stage.client
    client.cookies.set("mine", "0")
    client.get("/cookies")
    sent = sorted((stage.header("cookie", client) or "").split("; "))
    found = client.cookies["a"], client.cookies.get("b"), client.cookies.get_dict()
    client.cookies.clear()
    return sent, found, stage.header("cookie", client)


def through_cookiejar(stage: Stage) -> Any:
    client = stage.client
    client.get("/cookies")
    sent = stage.header("cookie", client), sorted(cookie.name for cookie in client.cookiejar)
    client.cookiejar.clear()
    return sent, stage.header("cookie", client)


def own_cookie_field(stage: Stage) -> Any:
    client = stage.client
    client.get("/cookies")
    return stage.header("cookie", client, headers={"Cookie": "own=1"})


def cookies_of_one_request(stage: Stage) -> Any:
    client = stage.client
    client.get("/cookies")
    one = stage.header("cookie", client, cookies={"c": "3"})
    return sorted((one or "").split("; ")), sorted((stage.header("cookie", client) or "").split("; "))


def named(stage: Stage, use: Callable[[Any], Any]) -> Any:
    """Use a client; give the names of its requests."""
    use(stage.client)
    return [event["name"] for event in stage.seen]


def renamed(client: Any) -> None:
    with client.rename_request(name="group"):
        client.get("/a")
        client.get("/a", name="own")
    client.get("/a")


def request_named(client: Any) -> None:
    client.request_name = "group"
    client.get("/a")


def slowly(seconds: float, **arguments: Any) -> Play:
    """Ask a server that takes half a second; give whether that failed."""

    def play(stage: Stage) -> Any:
        url = stage.raw.answers([stage.raw.take, 0.5, OK])
        stage.user(url).client.get("/", timeout=seconds, **arguments)
        return stage.failed()

    return play


def repeated(stage: Stage, attributes: dict[str, Any], method: str = "GET", **arguments: Any) -> Any:
    """Ask a server that answers nothing at first; give whether that failed and how often it was asked."""
    url = stage.raw.answers([stage.raw.take, 1.5], [stage.raw.take, OK])
    client = stage.user(url, network_timeout=0.3, **attributes).client
    client.request(method, "/", **arguments)
    gevent.sleep(0.05)
    return stage.failed(), len(stage.raw.requests)


def silent(stage: Stage, **attributes: Any) -> Any:
    url = stage.raw.answers([stage.raw.take, 1, OK])
    stage.user(url, **attributes).client.get("/")
    return stage.failed()


def no_handshake(stage: Stage) -> Any:
    url = stage.raw.answers([1]).replace("http://", "https://")
    stage.user(url, connection_timeout=0.2).client.get("/")
    return stage.failed()


def redirected_twice(stage: Stage, attributes: dict[str, Any], **arguments: Any) -> Any:
    stage.user(**attributes).client.get("/redirect/302/redirect/302/big/5", **arguments)
    return stage.failed(), len(stage.seen)


def at_once(stage: Stage) -> Any:
    client = stage.user(concurrency=2).client
    greenlets: list[Any] = [gevent.spawn(client.get, "/") for _ in range(2)]
    gevent.joinall(greenlets, raise_error=True)
    return len({greenlet.value.json()["port"] for greenlet in greenlets})


def trusted_by_method(stage: Stage) -> Any:
    import ssl

    def ssl_context_factory(user: Any) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=user.bundle)

    user = stage.user(stage.secure(), ssl_context_factory=ssl_context_factory, bundle=stage.cert, insecure=False)
    return user.client.get("/").status_code


def trusted_by_function(stage: Stage) -> Any:
    import ssl

    factory = staticmethod(lambda: ssl.create_default_context(cafile=stage.cert))
    return stage.user(stage.secure(), ssl_context_factory=factory, insecure=False).client.get("/").status_code


def secured(stage: Stage, **attributes: Any) -> Any:
    response = stage.user(stage.secure(), **attributes).client.get("/")
    return response.status_code, stage.failed()


def with_trust(use: Callable[[Stage, Any], Any], *, asking: bool = False) -> Play:
    """Use a client of a TLS server; give status and whether that failed."""

    def play(stage: Stage) -> Any:
        client = stage.user(stage.secure(asking=asking)).client
        response = use(stage, client)
        return response.status_code, stage.failed()

    return play


def setting(client: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(client, name, value)
    return client.get("/")


def rested(stage: Stage, *arguments: Any, underscore: bool = False, **keywords: Any) -> Any:
    user = stage.user()
    with (user.rest_ if underscore else user.rest)(*arguments, **keywords) as response:
        shown = response.js
    name = stage.seen[-1]["name"]
    headers = dict(shown["headers"])
    return name, shown["method"], shown["body"], headers["content-type"], headers["accept"], stage.failed()


def sends(verb: str, *arguments: Any, **keywords: Any) -> Play:
    """Call a method of the client; give what arrived, and what was reported."""

    def play(stage: Stage) -> Any:
        response = getattr(stage.client, verb)("/p?x=1", *arguments, **keywords)
        shown = response.json() if verb != "head" else {}
        found = [shown.get(name) for name in ("method", "path", "query", "body")]
        return found, response.status_code, stage.seen[-1]["request_type"], stage.seen[-1]["name"]

    return play


def knows_its_user(stage: Stage) -> Any:
    user = stage.user()
    return user.client.user is user


def closed(stage: Stage) -> Any:
    client = stage.client
    ports = [client.get("/").json()["port"], client.close(), client.get("/").json()["port"]]
    return len(set(ports))


def in_a_with_block(stage: Stage) -> Any:
    with stage.client as client:
        return client.get("/big/3").content


def announced(stage: Stage) -> Any:
    shown = stage.echo("POST", json=[1])
    return shown["body"], shown["headers"]["content-type"]


PATH_ONLY = "names a request by its path, with the query made of params"
USER_CASES: Final[dict[str, list[Case]]] = {
    "client": [case(lambda stage: stage.client.get("/big/3").content)],
    "concurrency": [case(at_once)],
    "connection_timeout": [case(no_handshake)],
    "default_headers": [case(lambda stage: stage.header("x-a", stage.user(default_headers={"X-A": "1"}).client))],
    "insecure": [
        case(lambda stage: secured(stage, insecure=True)),
        case(lambda stage: secured(stage, insecure=False)),
        case(secured, FastHttpUser="accepts any certificate unless `insecure = False`"),
    ],
    "max_redirects": [case(lambda stage: redirected_twice(stage, {"max_redirects": 1}))],
    "max_retries": [
        case(lambda stage: repeated(stage, {"max_retries": 1})),
        case(lambda stage: repeated(stage, {"max_retries": 1}, "POST")),
    ],
    "network_timeout": [case(lambda stage: silent(stage, network_timeout=0.2))],
    "rest": [case(lambda stage: rested(stage, "POST", "/x", json={"a": 1}))],
    "rest(method)": [case(lambda stage: rested(stage, method="PUT", url="/x"))],
    "rest(url)": [case(lambda stage: rested(stage, "GET", url="/x"))],
    "rest(headers)": [case(lambda stage: rested(stage, "GET", "/x", headers={"Accept": "text/json"}))],
    "rest_": [case(lambda stage: rested(stage, "GET", "/x", underscore=True))],
    "rest_(method)": [case(lambda stage: rested(stage, method="PUT", url="/x", underscore=True))],
    "rest_(url)": [case(lambda stage: rested(stage, "GET", url="/x", underscore=True))],
    "rest_(name)": [case(lambda stage: rested(stage, "GET", "/x", name="mine", underscore=True))],
    "ssl_context_factory": [case(trusted_by_method), case(trusted_by_function)],
}
CLIENT_CASES: Final[dict[str, list[Case]]] = {
    "__enter__": [case(in_a_with_block)],
    "auth": [case(changed("auth", ("u", "p"), lambda stage, client: stage.header("authorization", client)))],
    "auth_header": [
        case(lambda stage: stage.client.auth_header),
        case(lambda stage: stage.user(stage.url.replace("//", "//u:p@")).client.auth_header),
        case(changed("auth_header", "Bearer a", lambda stage, client: stage.header("authorization", client))),
    ],
    "base_url": [
        case(lambda stage: stage.user(stage.url.replace("//", "//u:p@")).client.base_url == stage.url),
        case(lambda stage: setting(stage.user("http://127.0.0.1:9").client, base_url=stage.url).json()["path"]),
    ],
    "cert": [
        case(with_trust(lambda stage, client: setting(client, verify=False, cert=(stage.cert, stage.key)), asking=True))
    ],
    "close": [case(closed)],
    "cookiejar": [case(through_cookiejar)],
    "cookies": [case(through_cookies)],
    "delete": [case(sends("delete"))],
    "get": [case(sends("get"))],
    "head": [
        case(sends("head")),
        case(
            lambda stage: stage.client.head("/redirect/302/big/5").status_code,
            HttpUser="follows redirects of HEAD only with `allow_redirects=True`",
        ),
    ],
    "headers": [case(through_headers)],
    "iter_lines": [case(lambda stage: list(stage.client.iter_lines("/stream")))],
    "iter_lines(method)": [case(lambda stage: list(stage.client.iter_lines("/body", method="POST", data="a\nb")))],
    "iter_lines(url)": [
        case(lambda stage: list(stage.client.iter_lines(url="/big/3"))),
        case(
            lambda stage: list(stage.client.iter_lines("/body", method="POST", data="a\r\n\r\nb")),
            FastHttpUser="leaves the CR of CRLF at the end of a line",
        ),
    ],
    "max_redirects": [
        case(
            changed(
                "max_redirects",
                1,
                lambda stage, client: (client.get("/redirect/302/redirect/302/big/5"), stage.failed())[1],
            )
        )
    ],
    "options": [case(sends("options"))],
    "patch": [case(sends("patch", "text"))],
    "post": [case(sends("post", "text")), case(sends("post", None, {"a": 1}))],
    "put": [case(sends("put", "text"))],
    "rename_request": [case(lambda stage: named(stage, renamed))],
    "rename_request(name)": [case(lambda stage: named(stage, renamed))],
    "request": [case(lambda stage: stage.client.request("GET", "/big/3").content)],
    "request_event": [case(lambda stage: stage.client.request_event is stage.environment.events.request)],
    "request_name": [case(lambda stage: named(stage, request_named))],
    "trust_env": [case(lambda stage: stage.client.trust_env), case(changed("trust_env", OFF, lambda *_: None))],
    "user": [case(knows_its_user)],
    "verify": [
        case(lambda stage: stage.client.verify),
        case(with_trust(lambda _, client: setting(client, verify=False))),
        case(with_trust(lambda stage, client: setting(client, verify=stage.cert))),
    ],
}
ARGUMENT_CASES: Final[dict[str, list[Case]]] = {
    "allow_redirects": [case(lambda stage: stage.client.get("/redirect/302/big/5", allow_redirects=False).status_code)],
    "auth": [
        case(lambda stage: stage.header("authorization", auth=("u", "p"))),
        case(lambda stage: stage.header("authorization", auth=("u", "p"), headers={"Authorization": "x"})),
    ],
    "catch_response": [case(lambda stage: caught(stage, lambda response: response.failure("no")))],
    "cert": [
        case(
            with_trust(lambda stage, client: client.get("/", verify=False, cert=(stage.cert, stage.key)), asking=True)
        ),
    ],
    "context": [case(lambda stage: (stage.client.get("/", context={"a": 1}), stage.seen[-1]["context"])[1])],
    "cookies": [case(cookies_of_one_request)],
    "data": [
        case(lambda stage: stage.echo("POST", data={"a": "1 2", "b": "ü"})["body"]),
        case(lambda stage: stage.echo("POST", data=b"\x00\xff")["body"]),
        case(lambda stage: stage.echo("POST", data="text")["body"]),
        case(
            lambda stage: stage.echo("POST", data={"a": [1, 2], "b": None})["body"],
            FastHttpUser="sends the text of a list, and None as `None`",
        ),
        case(
            lambda stage: stage.echo("POST", data="text")["headers"].get("content-type"),
            HttpUser="announces no type for text and bytes",
        ),
    ],
    "files": [
        case(lambda stage: multipart(stage, {"f": ("a.txt", b"content")}, {"field": "v"})),
        case(lambda stage: multipart(stage, {"f": ("a.txt", "content", "text/x")})),
        case(lambda stage: multipart(stage, {"f": ("a.txt", io.BytesIO(b"content"), "text/x", {"X-Part": "1"})})),
        case(lambda stage: multipart(stage, [("f", ("a", b"1")), ("f", (None, b"2"))])),
        case(lambda stage: multipart(stage, {"f": b"content"}, {"a": [1, 2], "b": None})),
    ],
    "headers": [
        case(lambda stage: stage.header("x-a", headers={"X-A": "1"})),
        case(lambda stage: stage.header("x-a", stage.user(default_headers={"x-a": "0"}).client, headers={"X-A": "1"})),
        case(own_cookie_field),
    ],
    "json": [
        case(announced),
        case(
            lambda stage: stage.header("accept", json=[1]),
            HttpUser="sends `Accept: */*` instead of application/json",
        ),
    ],
    "max_redirects": [case(lambda stage: redirected_twice(stage, {}, max_redirects=1))],
    "max_retries": [case(lambda stage: repeated(stage, {}, max_retries=1))],
    "method": [case(lambda stage: (stage.echo("pUt")["method"], stage.seen[-1]["request_type"]))],
    "name": [case(lambda stage: named(stage, lambda client: client.get("/a", name="mine")))],
    "params": [
        case(lambda stage: stage.echo(params={"a": None, "b": [1, None, 2], "c": "ü &"})["query"]),
        case(lambda stage: stage.echo(params=[("a", 1), ("a", None), ("a", 2)])["query"]),
        case(lambda stage: stage.echo(url="/p?x=1", params="y=2")["query"]),
        case(
            lambda stage: named(stage, lambda client: client.get("/a", params={"b": 1})),
            HttpUser=PATH_ONLY,
        ),
    ],
    "stream": [
        case(lambda stage: (stage.client.get("/big/9", stream=True).content, stage.seen[-1]["response_length"]))
    ],
    "timeout": [case(slowly(0.2)), case(slowly(5))],
    "url": [
        case(lambda stage: stage.echo(url="/a b/ü?q=1")["path"]),
        case(lambda stage: stage.echo(url=stage.url + "/absolute")["path"]),
    ],
    "verify": [
        case(with_trust(lambda _, client: client.get("/", verify=False))),
        case(with_trust(lambda _, client: client.get("/", verify=True))),
        case(with_trust(lambda stage, client: client.get("/", verify=stage.cert))),
    ],
}
