"""What a scenario passes as `data`, `json`, `files` and `params`, as bytes: the same rules as `FastHttpUser`."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from json import encoder as json_encoder
from typing import Any
from urllib.parse import urlencode

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


def add_params(url: str, params: Any) -> str:
    """Append query parameters: a mapping, pairs or a ready string; a list as value repeats its name."""
    query = params if isinstance(params, str) else urlencode(params, doseq=True)
    if not query:
        return url
    address, mark, fragment = url.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{query}{mark}{fragment}"


def _encode_data(data: Any) -> Payload:
    if isinstance(data, str):
        return data.encode(), TEXT_FIELDS
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), BYTES_FIELDS
    if isinstance(data, Mapping) or _are_pairs(data):
        return urlencode(data, doseq=True).encode(), FORM_FIELDS
    if hasattr(data, "read"):
        return _encode_data(data.read() or b"")
    if isinstance(data, Iterable):
        return b"".join(part.encode() if isinstance(part, str) else part for part in data), BYTES_FIELDS
    raise TypeError(f"cannot send a body of type {type(data).__name__}; pass str, bytes, a dict, pairs or a file")


def _are_pairs(data: Any) -> bool:
    return isinstance(data, list | tuple) and all(isinstance(item, tuple) for item in data)


def _multipart(data: Any, files: Any) -> Payload:
    fields = [*(data.items() if isinstance(data, Mapping) else data or ())]
    for name, value in files.items() if isinstance(files, Mapping) else files:
        fields.append((name, _file_part(name, value)))
    body, content_type = encode_multipart_formdata(fields)
    return body, ("Content-Type", content_type)


def _file_part(name: str, value: Any) -> tuple[Any, ...]:
    file_name, content, *content_type = value if isinstance(value, tuple) else (getattr(value, "name", name), value)
    return (file_name, content.read() if hasattr(content, "read") else content, *content_type)
