from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.codec import Codec, InvalidBodyError, encode_predictions, plain
from inference.errors import ModelRefusedError
from inference.signature import Column, Signature, Tensor, parse_signature

TABLE = Signature(
    columns=(
        Column(name="petal length (cm)", type="double"),
        Column(name="count", type="integer"),
        Column(name="model_id", type="string", required=False),
    )
)


def _problems(codec: Codec, body: bytes):
    with pytest.raises(InvalidBodyError) as caught:
        codec.decode(body)
    return {(".".join(map(str, problem.loc)), problem.type) for problem in caught.value.problems}


def test_one_row_and_many_rows_are_read_in_the_signatures_order():
    codec = Codec(TABLE, 10)
    assert codec.decode(b'{"inputs":{"count":2,"petal length (cm)":1}}').data == [(1.0, 2, None)]
    many = codec.decode(
        b'{"inputs":[{"count":2,"petal length (cm)":1},{"petal length (cm)":3,"count":4,"model_id":"x"}]}'
    )
    assert many.data == [(1.0, 2, None), (3.0, 4, "x")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", ("body", "json_invalid")),
        (b"\xff\xfe", ("body", "json_invalid")),
        (b"[" * 100_000, ("body", "json_invalid")),
        (b"null", ("body", "model_type")),
        (b'{"inputs":[]}', ("body.inputs", "too_short")),
        (b'{"inputs":7}', ("body.inputs", "model_type")),
        (b'{"inputs":{"count":1}}', ("body.inputs.petal length (cm)", "missing")),
        (b'{"inputs":[{"count":1,"petal length (cm)":NaN}]}', ("body.inputs.0.petal length (cm)", "finite_number")),
        (b'{"inputs":{"count":1,"petal length (cm)":1e999}}', ("body.inputs.petal length (cm)", "finite_number")),
        (b'{"inputs":{"count":1,"petal length (cm)":"1"}}', ("body.inputs.petal length (cm)", "float_type")),
        (b'{"inputs":{"count":1.5,"petal length (cm)":1}}', ("body.inputs.count", "int_type")),
        (b'{"inputs":{"count":4294967296,"petal length (cm)":1}}', ("body.inputs.count", "less_than_equal")),
        (b'{"inputs":{"count":1,"petal length (cm)":1,"extra":1}}', ("body.inputs.extra", "extra_forbidden")),
        (b'{"inputs":{"count":1,"petal length (cm)":1},"more":1}', ("body.more", "extra_forbidden")),
    ],
)
def test_an_invalid_body_is_refused_naming_the_field(body: bytes, expected: Any):
    assert expected in _problems(Codec(TABLE, 10), body)


def test_all_problems_of_a_body_are_reported_at_once():
    found = _problems(Codec(TABLE, 10), b'{"inputs":[{"count":"a"},{"petal length (cm)":1}]}')
    assert {place for place, _ in found} == {
        "body.inputs.0.petal length (cm)",
        "body.inputs.0.count",
        "body.inputs.1.count",
    }


def test_a_request_with_more_rows_than_the_queue_holds_is_refused():
    codec = Codec(TABLE, 2)
    row = '{"count":1,"petal length (cm)":1}'
    assert ("body.inputs", "too_long") in _problems(codec, f'{{"inputs":[{row},{row},{row}]}}'.encode())


def test_a_frame_has_the_types_of_the_signature():
    frame = Codec(TABLE, 10).model_input(Codec(TABLE, 10).decode(b'{"inputs":{"count":2,"petal length (cm)":1}}'))
    assert [str(kind) for kind in frame.dtypes] == ["float64", "int32", "object"]


def test_times_bytes_and_nested_values_reach_the_model_as_python_values():
    kinds = ("datetime", "binary", "any")
    nested = Column(
        name="nested", type="object", parts=(Column(name="xs", type="array", parts=(Column(name="", type="long"),)),)
    )
    codec = Codec(Signature(columns=(*(Column(name=kind, type=kind) for kind in kinds), nested)), 10)
    body = {"datetime": "2026-01-02T03:04:05Z", "binary": "aGk=", "any": [1], "nested": {"xs": [1, 2]}}
    row = codec.payload(body).data[0]
    assert row == (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), b"hi", [1], {"xs": [1, 2]})


def test_a_tensor_is_read_as_an_array_of_its_type_and_shape():
    codec = Codec(Signature(tensors=(Tensor(name=None, dtype="float32", shape=(-1, 2)),)), 10)
    payload = codec.decode(b'{"inputs":[[1,2],[3,4],[5,6]]}')
    assert (payload.n_rows, payload.data.dtype, payload.data.shape) == (3, np.float32, (3, 2))
    assert ("body.inputs.1", "too_short") in _problems(codec, b'{"inputs":[[1,2],[3]]}')
    assert ("body.inputs.0.1", "float_type") in _problems(codec, b'{"inputs":[[1,"x"]]}')


def test_named_tensors_are_read_by_name_and_must_have_equal_numbers_of_rows():
    tensors = (Tensor(name="a", dtype="float64", shape=(-1, -1)), Tensor(name="b", dtype="int64", shape=(-1,)))
    codec = Codec(Signature(tensors=tensors), 10)
    payload = codec.decode(b'{"inputs":{"a":[[1,2],[3,4]],"b":[7,8]}}')
    assert payload.n_rows == 2
    assert payload.data["b"].tolist() == [7, 8]
    assert ("body.inputs", "tensor") in _problems(codec, b'{"inputs":{"a":[[1]],"b":[7,8]}}')
    assert ("body.inputs.a", "tensor") in _problems(codec, b'{"inputs":{"a":[[1],[2,3]],"b":[7,8]}}')


def test_joined_payloads_keep_the_order_of_rows_for_tables_arrays_and_named_arrays():
    table = Codec(TABLE, 10)
    rows = [table.payload({"petal length (cm)": i, "count": i}) for i in range(3)]
    assert [row[1] for row in table.join(rows).data] == [0, 1, 2]
    array = Codec(Signature(tensors=(Tensor(name=None, dtype="int64", shape=(-1,)),)), 10)
    assert array.join([array.payload([1]), array.payload([2, 3])]).data.tolist() == [1, 2, 3]
    named = Codec(Signature(tensors=(Tensor(name="a", dtype="int64", shape=(-1,)),)), 10)
    assert named.join([named.payload({"a": [1]}), named.payload({"a": [2, 3]})]).data["a"].tolist() == [1, 2, 3]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_that_is_not_a_request_is_refused_with_a_location(value: str):
    assert all(place.split(".")[0] == "body" for place, _ in _problems(Codec(TABLE, 10), json.dumps(value).encode()))


@given(
    st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**31), 2**31 - 1)), min_size=1)
)
def test_every_valid_row_is_read_back_exactly(rows: list[Any]):
    inputs = [{"petal length (cm)": number, "count": count} for number, count in rows]
    read = Codec(TABLE, 10_000).decode(json.dumps({"inputs": inputs}).encode())
    assert [row[:2] for row in read.data] == rows


def test_the_documented_schema_and_the_decoder_name_the_same_columns():
    schema = Codec(TABLE, 10).model.model_json_schema()
    row = schema["$defs"]["Row"]
    assert set(row["properties"]) == {"petal length (cm)", "count", "model_id"}
    assert row["required"] == ["petal length (cm)", "count"]
    assert row["additionalProperties"] is False


def test_a_model_without_signature_is_refused_with_a_hint():
    with pytest.raises(ModelRefusedError) as caught:
        parse_signature(None)
    assert "infer_signature" in caught.value.hint


def test_inputs_without_names_are_refused_because_no_error_could_name_them():
    with pytest.raises(ModelRefusedError, match="without names"):
        parse_signature({"inputs": '[{"type":"double"},{"type":"double"}]'})


def test_predictions_of_every_kind_become_json():
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert plain(frame) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert plain(np.array([[1.5], [2.5]])) == [[1.5], [2.5]]
    assert plain(pd.Series([1, 2])) == [1, 2]
    encoded = encode_predictions([np.float32(1.5), np.array([1, 2]), float("nan"), pd.Timestamp("2026-01-01")], "3")
    assert json.loads(encoded) == {"predictions": [1.5, [1, 2], None, "2026-01-01T00:00:00"], "model_version": "3"}
