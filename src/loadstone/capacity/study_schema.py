"""docs/reference/study.schema.json, generated from the records of `loadstone.capacity.study_record`.

Write it again with ``python -m loadstone.capacity.study_schema > docs/reference/study.schema.json``.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from loadstone.archive.run_schema import closed_schema
from loadstone.capacity.study_record import FORMAT_VERSION, StudyRecord

__all__ = ["schema_text", "study_schema"]

_KIND: Final = "study"


def study_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of study.json. It allows no key that is not described."""
    return closed_schema(StudyRecord, _KIND, FORMAT_VERSION)


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(study_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
