"""What a client keeps and a scenario changes between requests, and the attributes of the user class."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from locust.exception import StopTest
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
from requests.cookies import RequestsCookieJar

from loadstone import LeanHttpUser

if TYPE_CHECKING:
    from support.raw_server import RawServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def sent(client: Any, name: str, **arguments: Any) -> str | None:
    """Give a header field as the server got it."""
    headers = dict(client.get("/", **arguments).json()["headers"])
    value: str | None = headers.get(name)
    return value


def test_headers_of_one_user_are_not_those_of_another(make_user: Any, uvicorn_url: str):
    one, other = (make_user(uvicorn_url, default_headers={"X-A": "0"}).client for _ in range(2))
    one.headers["x-a"] = "1"
    assert (sent(one, "x-a"), sent(other, "x-a")) == ("1", "0")


def test_headers_can_be_replaced_and_removed(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    assert client.headers["user-agent"].startswith("loadstone/")
    client.headers = {"X-A": "1"}
    assert (sent(client, "x-a"), sent(client, "user-agent")) == ("1", None)
    client.headers.clear()
    assert sent(client, "x-a") is None
    client.headers.copy()["X-A"] = "2"
    assert sent(client, "x-a") is None


def test_a_field_that_is_none_is_not_sent(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url, default_headers={"X-A": "0"})
    assert sent(client, "x-a", headers={"x-a": None}) is None
    assert sent(client, "x-a") == "0"


def test_a_field_is_sent_once_however_its_name_is_spelled(make_client: Any, raw: RawServer):
    client = make_client(raw.answers([raw.take, OK]), default_headers={"x-a": "0"})
    client.get("/", headers={"X-A": "1"})
    assert raw.requests[0].lower().count(b"x-a") == 1


def test_bytes_in_headers_are_sent_as_they_are(make_client: Any, uvicorn_url: str):
    assert sent(make_client(uvicorn_url), "x-a", headers={b"X-A": b"\xfc"}) == "ü"


def test_a_cookie_field_of_one_s_own_is_sent_alone(make_client: Any, raw: RawServer):
    set_cookie = OK.replace(b"\r\n", b"\r\nSet-Cookie: a=1; Path=/\r\n", 1)
    client = make_client(raw.answers([raw.take, set_cookie, raw.take, OK]))
    client.get("/")
    client.get("/", headers={"cookie": "own=1"})
    assert raw.requests[1].lower().count(b"cookie") == 1


@pytest.mark.parametrize("auth", [("u", "p"), ["u", "p"], HTTPBasicAuth("u", "p")])
def test_basic_authentication_is_taken_in_each_spelling_of_requests(make_client: Any, uvicorn_url: str, auth: Any):
    client = make_client(uvicorn_url)
    assert sent(client, "authorization", auth=auth) == "Basic dTpw"
    client.auth = auth
    assert sent(client, "authorization") == "Basic dTpw"
    assert client.auth is auth
    client.auth = None
    assert sent(client, "authorization") is None


@pytest.mark.parametrize("auth", [HTTPDigestAuth("u", "p"), lambda request: request, ("only",)])
def test_other_authentication_is_refused_with_what_to_write(make_client: Any, uvicorn_url: str, auth: Any):
    client = make_client(uvicorn_url)
    with pytest.raises(TypeError, match=r"pass \(user, password\), or compute the Authorization field yourself"):
        client.get("/", auth=auth)
    with pytest.raises(TypeError, match=r"pass \(user, password\)"):
        client.auth = auth


def test_the_credentials_of_a_new_base_url_count(make_client: Any, uvicorn_url: str):
    client = make_client("http://127.0.0.1:9")
    client.base_url = uvicorn_url.replace("http://", "http://u:p@")
    assert client.base_url == uvicorn_url
    assert sent(client, "authorization") == "Basic dTpw"


def test_a_prepared_request_follows_the_client(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    call = client.prepare("post", "/p", auth=("u", "p"))
    client.headers["X-A"] = "1"
    client.base_url = f"{uvicorn_url}/v2"
    shown = call(b"{}").json()
    headers = dict(shown["headers"])
    assert (shown["method"], shown["path"], headers["x-a"], headers["authorization"]) == (
        "POST",
        "/v2/p",
        "1",
        "Basic dTpw",
    )
    assert headers["content-type"] == "application/json"


def test_cookies_are_those_of_requests(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    assert isinstance(client.cookies, RequestsCookieJar)
    assert client.cookies is client.cookiejar
    client.cookies = {"a": "1"}
    assert sent(client, "cookie") == "a=1"
    client.cookies.update({"a": "2"})
    assert sent(client, "cookie") == "a=2"


def test_cookies_of_one_request_are_sent_once_and_those_it_is_answered_with_are_kept(
    make_client: Any, uvicorn_url: str
):
    client = make_client(uvicorn_url)
    client.get("/cookies", cookies={"c": "3"})
    assert sent(client, "cookie") == "a=1; b=2"


def test_cookies_of_one_request_go_along_with_its_redirects(make_client: Any, uvicorn_url: str):
    response = make_client(uvicorn_url).get("/redirect/302/there", cookies={"c": "3"})
    assert dict(response.json()["headers"])["cookie"] == "c=3"


def test_a_scenario_can_keep_values_of_its_own_on_the_client(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    client.token = "mine"
    assert client.token == "mine"


@pytest.mark.parametrize("arguments", [{"verify": False}, {"verify": "CERT"}, {"verify": False, "cert": "PAIR"}])
def test_requests_that_trust_alike_share_a_connection(
    make_client: Any, tls_raw: RawServer, certificate: Any, arguments: Any
):
    paths = {"CERT": str(certificate[0]), "PAIR": [str(path) for path in certificate]}
    arguments = {name: paths.get(value, value) for name, value in arguments.items()}
    client = make_client(tls_raw.answers([tls_raw.take, OK] * 4))
    assert [client.get("/", **arguments).status_code for _ in range(2)] == [200, 200]
    assert tls_raw.connections == 1
    assert client.get("/").status_code == 0, "a connection that was not verified may not serve one that is to be"
    client.close()
    assert client.get("/", **arguments).status_code == 200
    assert tls_raw.connections == 3


def test_verify_of_the_client_holds_until_it_is_changed(make_client: Any, tls_raw: RawServer, certificate: Any):
    client = make_client(tls_raw.answers([tls_raw.take, OK] * 4))
    assert client.verify is True
    client.verify = False
    assert (client.verify, client.get("/").status_code) == (False, 200)
    assert client.get("/", verify=True).status_code == 0
    client.verify = str(certificate[0])
    assert (client.verify, client.get("/").status_code) == (str(certificate[0]), 200)
    client.cert = tuple(str(path) for path in certificate)
    assert (client.verify, client.cert) == (str(certificate[0]), tuple(str(path) for path in certificate))
    assert client.get("/").status_code == 200
    client.verify = True
    assert client.get("/").status_code == 0


@pytest.mark.parametrize("arguments", [{"verify": "/no/bundle.pem"}, {"cert": "/no/cert.pem"}])
def test_a_certificate_file_that_is_not_there_is_a_mistake_of_the_scenario(
    make_client: Any, tls_raw: RawServer, arguments: Any
):
    with pytest.raises(FileNotFoundError, match=r"there is no certificate file '/no/\w+.pem'; check verify and cert"):
        make_client(tls_raw.url).get("/", **arguments)


def test_reading_settings_from_the_environment_is_refused(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    client.trust_env = False
    with pytest.raises(AttributeError, match="reads no proxy"):
        client.trust_env = True


def test_an_argument_that_nobody_knows_is_refused(make_client: Any, uvicorn_url: str):
    with pytest.raises(TypeError, match="takes no argument 'userid'; if it is a query parameter, pass it in params"):
        make_client(uvicorn_url).get("/", userid=1)


def test_arguments_without_effect_are_taken(make_client: Any, uvicorn_url: str):
    response = make_client(uvicorn_url).get("/", proxies=None, hooks={}, verify=None, cookies=None)
    assert response.status_code == 200


def test_a_method_makes_the_tls_settings_of_each_user(make_user: Any, tls_raw: RawServer, certificate: Any):
    made = []

    def ssl_context_factory(self: Any) -> ssl.SSLContext:
        made.append(self)
        return ssl.create_default_context(cafile=self.bundle)

    url = tls_raw.answers([tls_raw.take, OK, tls_raw.take, OK])
    attributes = {"ssl_context_factory": ssl_context_factory, "bundle": str(certificate[0])}
    user = make_user(url, **attributes)
    assert [user.client.get("/").status_code for _ in range(2)] == [200, 200]
    user.client.close()
    assert user.client.get("/").status_code == 200
    assert made == [user]
    make_user(url, **attributes).client.get("/")
    assert len(made) == 2


def test_a_function_makes_the_tls_settings_of_all_users(environment: Any, tls_raw: RawServer, certificate: Any):
    made = []

    def factory() -> ssl.SSLContext:
        made.append(1)
        return ssl.create_default_context(cafile=str(certificate[0]))

    class Secured(LeanHttpUser):
        host = tls_raw.answers([tls_raw.take, OK])
        ssl_context_factory = factory

    clients = [Secured(environment).client for _ in range(3)]
    assert [client.get("/").status_code for client in clients] == [200] * 3
    assert made == [1]
    for client in clients:
        client.close()


def test_attributes_are_read_when_a_user_is_made(environment: Any, uvicorn_url: str):
    class Caller(LeanHttpUser):
        host = uvicorn_url
        max_redirects = 1

        def __init__(self, environment: Any) -> None:
            self.default_headers = {"X-A": "of this user"}
            super().__init__(environment)

    client = Caller(environment).client
    assert sent(client, "x-a") == "of this user"
    client.get("/redirect/302/redirect/302/there")
    assert environment.seen[-1]["exception"] is not None
    Caller.max_redirects = 2
    Caller(environment).client.get("/redirect/302/redirect/302/there")
    assert environment.seen[-1]["exception"] is None


def test_an_attribute_that_only_a_user_has_is_refused_too(environment: Any):
    class Proxied(LeanHttpUser):
        host = "http://127.0.0.1:9"

        def __init__(self, environment: Any) -> None:
            self.proxy_host = "proxy"
            super().__init__(environment)

    with pytest.raises(StopTest, match="class has no 'proxy_host'; set host to the proxy's address"):
        Proxied(environment)


@pytest.mark.parametrize(("method", "asked"), [("GET", 3), ("POST", 1)])
def test_a_request_that_times_out_is_repeated_if_that_is_safe(
    make_client: Any, raw: RawServer, method: str, asked: int
):
    client = make_client(raw.answers([raw.take, 1]), network_timeout=0.1, max_retries=2)
    assert "timed out" in str(client.request(method, "/").error)
    assert raw.connections == asked


def test_the_history_of_a_response_cannot_be_changed_by_accident(make_client: Any, uvicorn_url: str):
    response = make_client(uvicorn_url).get("/")
    with pytest.raises(TypeError, match="make a list of your own"):
        response.history.append(response)
    assert [*response.history, 1] == [1]
