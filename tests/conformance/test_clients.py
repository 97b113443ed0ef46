"""What clients do with requests and responses; all kinds are user classes of one file, with one user each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.threefold import PRELUDE

if TYPE_CHECKING:
    from support.threefold import Comparison, Threefold

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
pytestmark = pytest.mark.xdist_group("clients")
KINDS: dict[str, str] = {}
BASE = """
class Once(HttpUser):
    abstract = True
    fixed_count = 1
    wait_time = few(2)


class FastOnce(FastHttpUser):
    abstract = True
    fixed_count = 1
    wait_time = few(2)
"""


def kind(path: str, *task: str, base: str = "Once") -> str:
    """Add a kind: the lines of the one task of a user class, which runs twice."""
    lines = "\n        ".join(task)
    KINDS[path] = f"""
class {path.removeprefix("/")}({base}):
    @task
    def go(self):
        {lines}
"""
    return path


@pytest.fixture(scope="module")
def compared(threefold_of_module: Threefold) -> Comparison:
    """The one run of all kinds each way."""
    return threefold_of_module.compare(PRELUDE + BASE + "".join(KINDS.values()), "-u", str(len(KINDS)))


@pytest.mark.parametrize(
    ("path", "requests", "failures"),
    [
        pytest.param(
            kind(
                "/Caught",
                "with self.client.get('/Caught/good', catch_response=True) as response:",
                "    response.failure('too good')",
                "with self.client.get('/status/500', name='/Caught/bad', catch_response=True) as response:",
                "    response.success()",
            ),
            4,
            2,
            marks=pytest.mark.conforms("`catch_response` with `failure()` and `success()`", "equal"),
        ),
        pytest.param(
            kind(
                "/FastCaught",
                "with self.client.get('/FastCaught/good', catch_response=True) as response:",
                "    response.failure('too good')",
                "with self.client.get('/status/500', name='/FastCaught/bad', catch_response=True) as response:",
                "    response.success()",
                base="FastOnce",
            ),
            4,
            2,
            marks=pytest.mark.conforms("`catch_response` of `FastHttpUser`", "equal"),
        ),
        pytest.param(
            kind(
                "/Judged",
                "with self.client.get('/Judged', catch_response=True) as response:",
                "    response.failure(ValueError('wrong value'))",
            ),
            2,
            2,
            marks=pytest.mark.conforms("`response.failure()` with an exception", "equal"),
        ),
        pytest.param(
            kind(
                "/Timed",
                "with self.client.get('/Timed', catch_response=True) as response:",
                "    response.request_meta['response_time'] = 1234.0",
            ),
            2,
            0,
            marks=pytest.mark.conforms("`request_meta['response_time']` changed in a `with` block", "equal"),
        ),
        pytest.param(
            kind("/Status", *(f"self.client.get('/status/{code}', name='/Status/{code}')" for code in (404, 503))),
            4,
            4,
            marks=pytest.mark.conforms("responses with 404 and 503", "equal"),
        ),
        pytest.param(
            kind("/FastStatus", "self.client.get('/status/404', name='/FastStatus')", base="FastOnce"),
            2,
            2,
            marks=pytest.mark.conforms("a response with 404 for `FastHttpUser`", "equal"),
        ),
        pytest.param(
            kind("/Cut", "self.client.get('/reset', name='/Cut')"),
            2,
            2,
            marks=pytest.mark.conforms("connections that the server cuts", "equal"),
        ),
        pytest.param(
            kind("/Refused", "self.client.get('http://127.0.0.1:9/', name='/Refused')"),
            2,
            2,
            marks=pytest.mark.conforms("an absolute URL at which nobody listens", "equal"),
        ),
        pytest.param(
            kind("/Late", "self.client.get('/slow?ms=900', name='/Late', timeout=0.3)"),
            2,
            2,
            marks=pytest.mark.conforms("a `timeout` that ends a request", "equal"),
        ),
        pytest.param(
            kind("/Methods", *(f"self.client.{name}('/Methods')" for name in METHODS)),
            14,
            0,
            marks=pytest.mark.conforms("every method of `HttpUser`'s client", "equal"),
        ),
        pytest.param(
            kind("/Named", "for number in range(3):", "    self.client.get(f'/Named/{number}', name='/Named/[id]')"),
            6,
            0,
            marks=pytest.mark.conforms("requests grouped by `name`", "equal"),
        ),
        pytest.param(
            kind(
                "/Renamed",
                "with self.client.rename_request('/Renamed/[id]'):",
                "    self.client.get('/Renamed/1')",
                "    self.client.get('/Renamed/2')",
            ),
            4,
            0,
            marks=pytest.mark.conforms("requests grouped by `rename_request`", "equal"),
        ),
        pytest.param(
            kind(
                "/Streamed",
                "with self.client.get('/bytes/5000', name='/Streamed', stream=True, catch_response=True) as response:",
                "    assert sum(len(part) for part in response.iter_content(512)) == 5000",
                "    response.success()",
            ),
            2,
            0,
            marks=pytest.mark.conforms("responses read with `stream=True`", "equal"),
        ),
        pytest.param(
            kind(
                "/Rest",
                "with self.rest('POST', '/echo', name='/Rest', json={'a': 1}) as response:",
                "    assert response.js == {'a': 1}",
                "with self.rest('POST', '/echo', name='/Rest/wrong', json={'a': 1}) as response:",
                "    assert response.js['a'] == 2",
                base="FastOnce",
            ),
            4,
            2,
            marks=pytest.mark.conforms("`rest()` of `FastHttpUser`, with an assertion that fails", "equal"),
        ),
        pytest.param(
            kind(
                "/Second",
                "from locust.clients import HttpSession",
                "session = HttpSession(self.host, self.environment.events.request, self)",
                "session.get('/Second')",
            ),
            2,
            0,
            marks=pytest.mark.conforms("a second session made by a task", "equal"),
        ),
        pytest.param(
            kind(
                "/Context",
                "self.client.get('/Context', context={'tenant': 'a'})",
            ),
            2,
            0,
            marks=pytest.mark.conforms("`context` handed to a request", "equal"),
        ),
        pytest.param(
            kind(
                "/Uncounted",
                "import requests",
                "requests.get(self.host + '/Uncounted')",
            ),
            0,
            0,
            marks=pytest.mark.conforms("requests of a library that Locust does not count", "equal: counted by neither"),
        ),
    ],
)
def test_a_kind_of_request(compared: Comparison, path: str, requests: int, failures: int):
    compared.equal_below(path, requests=requests, failures=failures)


def test_the_file_with_all_kinds_has_every_request_in_the_archive(compared: Comparison):
    compared.equal(unseen=True).verdict("fail", plain=1)
