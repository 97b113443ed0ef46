"""The client against a real server (uvicorn): what scenarios written for FastHttpUser rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from locust.exception import LocustError

from support.shown_app import ENCODED, PLAIN


def header(response: Any, name: Any):
    return next((value for key, value in response.json()["headers"] if key == name), None)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_each_method_arrives_as_itself(make_client: Any, uvicorn_url: str, method: str):
    response = getattr(make_client(uvicorn_url), method)("/where")
    assert response.status_code == 200
    assert response.json()["method"] == method.upper()


def test_head_gets_a_status_and_no_body(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    response = client.head("/big/5000")
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "5000")
    assert client.get("/").status_code == 200


def test_json_is_sent_and_announced_as_json(make_client: Any, uvicorn_url: str):
    response = make_client(uvicorn_url).post("/", json={"a": [1, 2.5, None]})
    assert json.loads(response.json()["body"]) == {"a": [1, 2.5, None]}
    assert header(response, "content-type") == "application/json"
    assert header(response, "accept") == "application/json"


@pytest.mark.parametrize(
    ("data", "body", "content_type"),
    [
        ("text", "text", "text/plain; charset=utf-8"),
        (b"bytes", "bytes", "application/octet-stream"),
        ({"a": 1, "b": "x y"}, "a=1&b=x+y", "application/x-www-form-urlencoded; charset=utf-8"),
        ([("a", 1), ("a", 2)], "a=1&a=2", "application/x-www-form-urlencoded; charset=utf-8"),
        (iter([b"one", "two"]), "onetwo", "application/octet-stream"),
    ],
)
def test_data_is_sent_as_fast_http_user_sends_it(
    make_client: Any, uvicorn_url: str, data: bytes, body: bytes, content_type: Any
):
    response = make_client(uvicorn_url).post("/", data=data)
    assert response.json()["body"] == body
    assert header(response, "content-type") == content_type


def test_data_of_an_unknown_type_is_refused_with_what_is_allowed(make_client: Any, uvicorn_url: str):
    with pytest.raises(TypeError, match="pass str, bytes, a dict"):
        make_client(uvicorn_url).post("/", data=5)


def test_files_are_sent_as_multipart(make_client: Any, uvicorn_url: str):
    response = make_client(uvicorn_url).post("/", files={"up": ("a.txt", b"content")}, data={"field": "v"})
    assert header(response, "content-type").startswith("multipart/form-data; boundary=")
    body = response.json()["body"]
    assert 'name="up"; filename="a.txt"' in body
    assert "content" in body
    assert 'name="field"' in body


@pytest.mark.parametrize(
    ("url", "params", "query"),
    [
        ("/p", {"a": 1, "b": ["x", "y"]}, "a=1&b=x&b=y"),
        ("/p?c=0", {"a": 1}, "c=0&a=1"),
        ("/p", "ready=made", "ready=made"),
        ("/p", {}, ""),
        ("/p#fragment", {"a": 1}, "a=1"),
    ],
)
def test_params_are_appended_to_the_url_but_not_to_the_name(
    make_user: Any, uvicorn_url: str, url: str, params: Any, query: Any
):
    user = make_user(uvicorn_url)
    assert user.client.get(url, params=params).json()["query"] == query
    assert user.environment.seen[-1]["name"] == url


def test_headers_of_a_request_win_over_default_headers_and_both_over_the_client_s_own(
    make_client: Any, uvicorn_url: str
):
    client = make_client(uvicorn_url, default_headers={"X-One": "1", "X-Two": "2", "user-agent": "mine"})
    response = client.get("/", headers={"X-Two": "other", "Accept-Encoding": "identity"})
    assert [header(response, name) for name in ("x-one", "x-two", "user-agent", "accept-encoding")] == [
        "1",
        "other",
        "mine",
        "identity",
    ]


@pytest.mark.parametrize("headers", [{"A": "b\r\nEvil: yes"}, {"A b": "c"}, {"A": "\x00"}, {"A": "☃"}])
def test_a_header_that_would_break_the_request_is_refused(make_client: Any, uvicorn_url: str, headers: Any):
    with pytest.raises(ValueError, match="invalid header"):
        make_client(uvicorn_url).get("/", headers=headers)


def test_basic_auth_comes_from_the_argument_or_from_the_host(make_client: Any, uvicorn_url: str):
    assert header(make_client(uvicorn_url).get("/", auth=("u", "p")), "authorization") == "Basic dTpw"
    with_user = uvicorn_url.replace("http://", "http://u%20x:p@")
    client = make_client(with_user)
    assert client.base_url == uvicorn_url
    assert header(client.get("/"), "authorization") == "Basic dSB4OnA="


def test_connections_are_kept_for_the_next_request(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    assert len({client.get("/").json()["port"] for _ in range(5)}) == 1


def test_a_connection_that_the_server_closes_is_not_used_again(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    before = client.get("/").json()["port"]
    assert client.get("/close").content == b"bye"
    assert client.get("/").json()["port"] != before


@pytest.mark.parametrize("encoding", sorted(ENCODED))
def test_compressed_bodies_are_decompressed(make_user: Any, uvicorn_url: str, encoding: str):
    user = make_user(uvicorn_url)
    response = user.client.get(f"/encoded/{encoding}")
    assert response.content == PLAIN
    assert user.environment.seen[-1]["response_length"] == len(PLAIN)


def test_decompression_can_be_switched_off(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url, decompress=False)
    assert user.client.get("/encoded/gzip").content == ENCODED["gzip"]
    assert user.environment.seen[-1]["response_length"] == len(ENCODED["gzip"])


def test_text_follows_the_charset_of_the_response(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    assert client.get("/latin").text == "café"
    assert client.get("/stream").text.startswith("line 0\n")


def test_chunked_bodies_are_joined(make_client: Any, uvicorn_url: str):
    response = make_client(uvicorn_url).get("/stream")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.text == "".join(f"line {number}\n" for number in range(20))


def test_a_stream_is_read_when_asked_for_and_its_connection_is_kept(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    before = user.client.get("/").json()["port"]
    response = user.client.get("/stream", stream=True)
    assert user.environment.seen[-1]["response_length"] == 0
    assert list(response.iter_lines()) == [f"line {number}".encode() for number in range(20)]
    assert user.client.get("/").json()["port"] == before


def test_a_stream_s_length_is_what_its_content_length_announces(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    response = user.client.get("/big/300000", stream=True)
    assert user.environment.seen[-1]["response_length"] == 300_000
    assert b"".join(response.iter_content(chunk_size=1000, decode_content=False)) == b"x" * 300_000


def test_the_content_of_a_stream_is_the_rest_of_it(make_client: Any, uvicorn_url: str):
    assert make_client(uvicorn_url).get("/encoded/gzip", stream=True).content == PLAIN


def test_a_stream_given_up_does_not_spoil_the_next_request(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    client.get("/big/3000000", stream=True).close()
    assert client.get("/").status_code == 200


def test_iter_lines_of_the_client_yields_the_lines_of_a_response(make_client: Any, uvicorn_url: str):
    assert list(make_client(uvicorn_url).iter_lines("/stream"))[-1] == "line 19"


@pytest.mark.parametrize(
    ("status", "sent", "arrives"),
    [
        (301, "POST", ("GET", "")),
        (302, "PUT", ("GET", "")),
        (303, "POST", ("GET", "")),
        (307, "POST", ("POST", "body")),
        (308, "PUT", ("PUT", "body")),
    ],
)
def test_redirects_change_method_and_body_as_in_fast_http_user(
    make_user: Any, uvicorn_url: str, status: int, sent: Any, arrives: Any
):
    user = make_user(uvicorn_url)
    response = user.client.request(sent, f"/redirect/{status}/there?x=1", data="body")
    assert (response.json()["method"], response.json()["body"]) == arrives
    assert [hop.status_code for hop in response.history] == [status]
    (event,) = user.environment.seen
    assert (event["request_type"], event["name"]) == (sent, f"/redirect/{status}/there?x=1")


def test_redirects_are_not_followed_unless_allowed(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    response = user.client.get("/redirect/302/there", allow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (302, "/there")
    assert user.environment.seen[-1]["exception"] is None


def test_a_redirect_without_end_fails_at_the_limit(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url, max_redirects=3)
    assert "Redirection limit reached (3)" in str(user.client.get("/loop").error)
    assert len(user.environment.seen) == 1


def test_cookies_are_kept_and_sent_back(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    assert header(client.get("/"), "cookie") is None
    client.get("/cookies")
    assert header(client.get("/"), "cookie") == "a=1; b=2"
    client.cookiejar.clear()
    assert header(client.get("/"), "cookie") is None


def test_prepared_requests_send_cookies_too(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    call = client.prepare("POST", "/")
    client.get("/cookies")
    assert header(call(b"{}"), "cookie") == "a=1; b=2"


def test_a_prepared_request_takes_a_body_and_keeps_the_rest(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    predict = user.client.prepare("POST", "/predict", name="predict", headers={"X-A": "1"}, params={"v": 2})
    response = predict('{"é": 1}')
    assert response.json()["body"].encode("latin-1") == '{"é": 1}'.encode()
    assert response.json()["query"] == "v=2"
    assert header(response, "content-type") == "application/json"
    assert header(response, "x-a") == "1"
    predict(name="other", context={"a": 1})
    assert [(event["name"], event["context"]) for event in user.environment.seen] == [
        ("predict", {}),
        ("other", {"a": 1}),
    ]
    with predict(b"{}", catch_response=True) as caught:
        caught.failure("no good")
    assert repr(user.environment.seen[-1]["exception"]) == "CatchResponseError('no good')"


def test_the_request_event_has_locust_s_keywords(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    user.context = dict
    response = user.client.post("/predict", json={}, context={"scenario": "a"})
    (event,) = user.environment.seen
    assert sorted(event) == [
        "context",
        "exception",
        "name",
        "request_type",
        "response",
        "response_length",
        "response_time",
        "start_time",
        "url",
    ]
    assert event["request_type"] == "POST"
    assert event["name"] == "/predict"
    assert event["url"] == f"{uvicorn_url}/predict"
    assert event["context"] == {"scenario": "a"}
    assert event["response"] is response
    assert event["response_length"] == len(response.content)
    assert 0 <= response.ttfb_us <= event["response_time"] * 1000
    assert response.elapsed.total_seconds() * 1000 == pytest.approx(event["response_time"], abs=0.01)


def test_the_context_of_the_user_is_in_every_event(environment: Any, uvicorn_url: str):
    from loadstone import LeanHttpUser

    class Contextual(LeanHttpUser):
        host = uvicorn_url

        def context(self):
            return {"user": 1, "over": "user"}

    client = Contextual(environment).client
    client.get("/")
    client.get("/", context={"over": "request"})
    assert [event["context"] for event in environment.seen] == [
        {"user": 1, "over": "user"},
        {"user": 1, "over": "request"},
    ]


def test_names_come_from_the_argument_then_from_rename_request_then_from_the_url(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    with user.client.rename_request("group"):
        user.client.get("/a")
        user.client.get("/a", name="own")
    user.client.get("/a")
    assert [event["name"] for event in user.environment.seen] == ["group", "own", "/a"]


@pytest.mark.parametrize("status", [400, 404, 418, 429, 500, 503])
def test_an_error_status_fails_with_locust_s_own_error(make_user: Any, uvicorn_url: str, status: int):
    user = make_user(uvicorn_url)
    response = user.client.get(f"/status/{status}")
    assert response.status_code == status
    assert repr(user.environment.seen[-1]["exception"]) == f"LocustBadStatusCode(code={status})"
    with pytest.raises(Exception, match=f"code={status}"):
        response.raise_for_status()
    assert user.environment.stats.total.num_failures == 1


def test_catch_response_turns_a_failure_into_a_success_and_back(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    with user.client.get("/status/404", catch_response=True) as response:
        assert not user.environment.seen
        response.success()
    with user.client.get("/", catch_response=True) as response:
        response.failure("wrong")
    with user.client.get("/status/500", catch_response=True):
        pass
    assert [repr(event["exception"]) for event in user.environment.seen] == [
        "None",
        "CatchResponseError('wrong')",
        "LocustBadStatusCode(code=500)",
    ]


def test_the_name_can_be_changed_inside_the_with_block(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    with user.client.get("/", catch_response=True) as response:
        response.request_meta["name"] = "renamed"
    assert user.environment.seen[-1]["name"] == "renamed"


def test_an_exception_in_the_with_block_reaches_the_scenario_and_reports_nothing(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    with pytest.raises(KeyError), user.client.get("/", catch_response=True):
        raise KeyError("mine")
    assert not user.environment.seen


def test_success_and_failure_without_catch_response_say_what_to_do(make_client: Any, uvicorn_url: str):
    client = make_client(uvicorn_url)
    response = client.get("/")
    with pytest.raises(LocustError, match="catch_response=True"):
        response.success()
    with pytest.raises(LocustError, match="catch_response=True"), response:
        pass
    with pytest.raises(LocustError, match="with-block"):
        client.get("/", catch_response=True).failure("too early")


def test_rest_parses_json_and_reports_what_is_none(make_user: Any, uvicorn_url: str):
    user = make_user(uvicorn_url)
    with user.rest("POST", "/", json={"a": 1}) as response:
        assert json.loads(response.js["body"]) == {"a": 1}
    with user.rest("GET", "/big/3"):
        pass
    with user.rest("GET", "/") as response:
        if response.js["method"] != "PUT":
            raise AssertionError("not a PUT")
    errors = [repr(event["exception"]) for event in user.environment.seen]
    assert errors[0] == "None"
    assert "Could not parse response as JSON" in errors[1]
    assert errors[2] == "CatchResponseError('not a PUT')"


def test_an_absolute_url_goes_where_it_says(make_client: Any, uvicorn_url: str):
    assert make_client("http://127.0.0.1:9").get(f"{uvicorn_url}/x").json()["path"] == "/x"


def test_what_may_not_stand_in_a_request_line_is_quoted(make_client: Any, uvicorn_url: str):
    assert make_client(uvicorn_url).get("/a b/ü?q=ö%20").json()["query"] == "q=%C3%B6%20"


@pytest.mark.parametrize("url", ["ftp://host/", "http:///path", "http://host:99999/"])
def test_a_url_that_cannot_be_requested_is_refused(make_client: Any, url: str):
    with pytest.raises(ValueError, match="cannot request this URL"):
        make_client("").get(url)


def test_a_request_can_be_looked_at_afterwards(make_client: Any, uvicorn_url: str):
    request = make_client(uvicorn_url).post("/p", data="text", headers={"X-A": "1"}).request
    assert (request.method, request.url, request.body) == ("POST", f"{uvicorn_url}/p", b"text")
    assert request.headers["X-A"] == "1"


def test_a_large_request_body_arrives_whole(make_client: Any, uvicorn_url: str):
    body = "0123456789" * 800_000
    assert make_client(uvicorn_url).post("/", data=body).json()["body"] == body
