"""What a redirect turns a request into (RFC 9110 section 15.4), by the same rules as Locust's `FastHttpUser`."""

from __future__ import annotations

from urllib.parse import urljoin

from loadstone.locustio.lean.template import Template, build_template, parse_target

TO_GET = frozenset((301, 302, 303))
OF_A_BODY = frozenset(("content-type", "content-encoding"))


def redirected(template: Template, body: bytes, status: int, location: str, first: Template) -> tuple[Template, bytes]:
    """Give the next request of a chain that began with `first`.

    301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat the request; another origin than
    the first one's gets no Authorization. Raises UnsupportedUrlError.
    """
    target = parse_target(urljoin(template.target.url, location))
    keeps = status not in TO_GET
    method = template.method if keeps or template.head_only else "GET"
    dropped = {"host"} | (set() if keeps else OF_A_BODY)
    if target.origin is not first.target.origin:
        dropped.add("authorization")
    fields = {name: value for name, value in template.fields.items() if name.lower() not in dropped}
    return build_template(method, target, fields), body if keeps else b""
