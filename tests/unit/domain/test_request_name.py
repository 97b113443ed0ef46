from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadstone.domain.request_name import NAME_LIMIT, OTHER, NameTable, RequestName


def test_a_label_reads_as_people_write_requests():
    assert RequestName("POST", "/predict").label == "POST /predict"
    assert RequestName("", "checkout").label == "checkout"


def test_a_cleaned_name_holds_no_secret_no_control_character_and_no_backslash_at_its_end():
    assert RequestName.cleaned("GET\t", "/a\n?token=abc\\") == ("GET ", "/a ?token=***")


@given(st.text(), st.text())
def test_cleaning_a_clean_name_changes_nothing(method: str, name: str):
    once = RequestName.cleaned(method, name)
    assert RequestName.cleaned(*once) == once


def test_names_after_the_limit_share_one():
    table = NameTable(2)
    ids = table.ids_of([("GET", "/a"), ("GET", "/b"), ("GET", "/c"), ("GET", "/d"), ("GET", "/a")])
    assert [table[name_id] for name_id in ids] == [("GET", "/a"), ("GET", "/b"), OTHER, OTHER, ("GET", "/a")]
    assert table.capped
    assert NAME_LIMIT == 500
