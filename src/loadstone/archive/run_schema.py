"""docs/reference/run.schema.json, generated from the records of `loadstone.archive.run_record`.

Write it again with ``python -m loadstone.archive.run_schema > docs/reference/run.schema.json``.
"""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from typing import Any, Final

import msgspec

from loadstone.archive.run_record import FORMAT_VERSION, RunRecord

__all__ = ["closed_schema", "run_schema", "schema_text"]

_DEFINITIONS: Final = "#/$defs/{name}"


def run_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of run.json. It allows no key that is not described."""
    return closed_schema(RunRecord, "run", FORMAT_VERSION)


def closed_schema(record: type[msgspec.Struct], kind: str, version: int) -> dict[str, Any]:
    """The JSON Schema of a record that is kept in the file ``kind``.json; it allows no key that is not described."""
    _, found = msgspec.json.schema_components((record,), ref_template=_DEFINITIONS)
    definitions = {name: _closed(definition) for name, definition in found.items()}
    root = definitions.pop(record.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:loadstone:{kind}:{version}",
        **root,
        "title": f"{kind}.json",
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(run_schema(), indent=2) + "\n"


def _closed(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition that allows no further keys, with its description as one paragraph."""
    text = " ".join(cleandoc(definition["description"]).replace("``", "`").split())
    return {**definition, "description": text, "additionalProperties": False}


if __name__ == "__main__":
    sys.stdout.write(schema_text())
