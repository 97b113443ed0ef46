"""Writing a run to InfluxDB from a journal that has lost something would leave InfluxDB with less than the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadstone.archive.closed_run import ClosedRun
from loadstone.archive.folder import RunFolder
from loadstone.cli.main import main
from support.harmed_journal import (
    REQUESTS,
    RUN,
    close_runs,
    cut_a_segment_in_between_behind_a_whole_entry,
    cut_the_last_segment,
    empty,
    flip_a_bit,
    leave_no_segment,
    lose_the_last_segment,
    take_the_journal_of_another_run,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.faulty_influx import FaultyInflux


@pytest.mark.attack("the journal of a closed run is damaged, cut, emptied or exchanged", "backfill refuses")
@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(empty, id="every segment emptied"),
        pytest.param(leave_no_segment, id="every segment deleted"),
        pytest.param(lose_the_last_segment, id="the last segment deleted"),
        pytest.param(cut_the_last_segment, id="the last segment cut"),
        pytest.param(cut_a_segment_in_between_behind_a_whole_entry, id="a segment cut behind a whole entry"),
        pytest.param(take_the_journal_of_another_run, id="the journal of another run"),
        pytest.param(flip_a_bit, id="a bit flipped in a segment in between"),
    ],
)
def test_a_journal_that_lacks_what_the_archive_holds_is_not_written_to_influxdb(
    tmp_path: Path,
    harm: Callable[[RunFolder], None],
    faulty_influx: FaultyInflux,
    capsys: pytest.CaptureFixture[str],
):
    close_runs(tmp_path)
    run = RunFolder(tmp_path / RUN)
    harm(run)
    assert main(["influx", "backfill", RUN, "--results", str(tmp_path), "--influx-url", faulty_influx.url]) == 2
    assert "journal segment" in capsys.readouterr().err
    assert faulty_influx.points == {}
    record = ClosedRun.open(run).record
    assert (record.ledgers.influx, record.requests) == (None, REQUESTS)
