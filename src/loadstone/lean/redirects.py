"""Where a redirect leads, by which method and with which fields: the rules of `FastHttpUser`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

from loadstone.lean.request import build_template, parse_target

if TYPE_CHECKING:
    from loadstone.lean.request import Template
    from loadstone.lean.response import LeanResponse

TO_GET = frozenset((301, 302, 303))
OF_A_BODY = frozenset(("content-type", "content-encoding"))


def redirected(response: LeanResponse, first: LeanResponse) -> tuple[Template, bytes]:
    """Give the request and the body that `response` asks for, in a chain of redirects that began with `first`.

    301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat the request; another origin than
    the first one's gets no Authorization. Raises UnsupportedUrlError.
    """
    template = response.template
    target = parse_target(urljoin(template.target.url, response.headers["location"]))
    keeps = response.status_code not in TO_GET
    method = template.method if keeps or template.head_only else "GET"
    dropped = {"host", "cookie"} | (set() if keeps else OF_A_BODY)
    if target.origin is not first.template.target.origin:
        dropped.add("authorization")
    fields = {name: value for name, value in template.fields.items() if name.lower() not in dropped}
    return build_template(method, target, fields), response.request.body if keeps else b""
