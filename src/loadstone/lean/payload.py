"""What a scenario passes as a body or as query parameters, as bytes and text; names and rules are those of requests."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from json import encoder as json_encoder
from typing import Any
from urllib.parse import urlencode

from requests.utils import guess_filename
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

JSON_FIELDS = ("Content-Type", "application/json", "Accept", "application/json")
FORM_FIELDS = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
TEXT_FIELDS = ("Content-Type", "text/plain; charset=utf-8")
BYTES_FIELDS = ("Content-Type", "application/octet-stream")

_JSON = json_module.JSONEncoder()
_make_encoder: Any = getattr(json_encoder, "c_make_encoder", None)  # only CPython has it
_MODES = {"sort_keys": _JSON.sort_keys, "skipkeys": _JSON.skipkeys, "allow_nan": _JSON.allow_nan}
_encode: Any = _make_encoder and _make_encoder(
    None, _JSON.default, json_encoder.encode_basestring_ascii, None, ": ", ", ", *_MODES.values()
)

Payload = tuple[bytes, tuple[str, ...]]
"""A body, and the default header fields that describe it: names and values in turn."""


def encode_payload(data: Any, json: Any, files: Any) -> Payload:
    """Give the body of a request and its default fields.

    `json` counts only without `data`. An iterable or a file is read to its end and sent in one piece. Raises TypeError
    for what cannot be sent.
    """
    if files:
        return _multipart(data, files)
    if data:
        return _encode_data(data)
    if json is not None:
        return encode_json(json), JSON_FIELDS
    return b"", ()


def encode_json(value: Any) -> bytes:
    """Give what `json.dumps(value)` gives, as bytes; raises as that does.

    `dumps` makes a new C encoder for each call, which is a quarter of its time for a small value; this one is kept.
    """
    if _encode is None:
        return json_module.dumps(value).encode()
    try:
        return "".join(_encode(value, 0)).encode()
    except RecursionError:
        return json_module.dumps(value).encode()  # says "Circular reference detected" where that is the cause


def encode_pairs(data: Any) -> str:
    """Give a mapping or pairs as a query or form: a list as value repeats its name, None is left out."""
    pairs = data.items() if isinstance(data, Mapping) else data
    return urlencode([(name, value) for name, values in pairs for value in _each(values) if value is not None])


def add_params(url: str, params: Any) -> str:
    """Append query parameters: a mapping, pairs or a ready string; a list as value repeats its name."""
    query = params.decode() if isinstance(params, bytes) else params
    query = query if isinstance(query, str) else encode_pairs(query)
    if not query:
        return url
    address, mark, fragment = url.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{query}{mark}{fragment}"


def _each(values: Any) -> Iterable[Any]:
    return (values,) if isinstance(values, str | bytes) or not isinstance(values, Iterable) else values


def _encode_data(data: Any) -> Payload:
    if isinstance(data, str):
        return data.encode(), TEXT_FIELDS
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), BYTES_FIELDS
    if isinstance(data, Mapping) or _are_pairs(data):
        return encode_pairs(data).encode(), FORM_FIELDS
    if hasattr(data, "read"):
        return _encode_data(data.read() or b"")
    if isinstance(data, Iterable):
        return b"".join(part.encode() if isinstance(part, str) else part for part in data), BYTES_FIELDS
    raise TypeError(f"cannot send a body of type {type(data).__name__}; pass str, bytes, a dict, pairs or a file")


def _are_pairs(data: Any) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(item, tuple) for item in data)


def _multipart(data: Any, files: Any) -> Payload:
    if isinstance(data, str | bytes):
        raise ValueError(  # noqa: TRY004  # requests and geventhttpclient raise it too
            "cannot send files together with data that is text; pass data as a dict or pairs"
        )
    pairs = data.items() if isinstance(data, Mapping) else data or ()
    fields: list[Any] = [
        (name.decode() if isinstance(name, bytes) else name, value if isinstance(value, bytes) else str(value).encode())
        for name, values in pairs
        for value in _each(values)
        if value is not None
    ]
    boundary = None
    for name, value in files.items() if isinstance(files, Mapping) else files:
        file_name, content, content_type, headers, boundary_of_file = _file_part(name, value)
        boundary = boundary or boundary_of_file
        if content is not None:
            field = RequestField(name=name, data=content, filename=file_name, headers=headers)
            field.make_multipart(content_type=content_type)
            fields.append(field)
    body, announced = encode_multipart_formdata(fields, boundary)
    return body, ("Content-Type", announced)


def _file_part(name: str, value: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Give file name, content, content type, headers and boundary; all from the third on may be left out."""
    given = tuple(value) if isinstance(value, tuple | list) else (guess_filename(value) or name, value)
    if not 2 <= len(given) <= 5:  # noqa: PLR2004  # the shapes that requests and geventhttpclient take
        raise ValueError(
            f"cannot send {name!r} of files: a tuple of {len(given)}; "
            "pass (file name, content), and after these the content type and a dict of headers"
        )
    file_name, content, content_type, headers, boundary = (*given, None, None, None)[:5]
    return file_name, content.read() if hasattr(content, "read") else content, content_type, headers, boundary
