"""The CSV files are those of the installed Locust: headers, units, order of rows, and values as far as it is exact."""

import csv
import io
from types import SimpleNamespace

import pytest
from locust import stats as locust_stats

from loadstone.archive.finalize.closing import close_run
from loadstone.archive.folder import RunFolder
from loadstone.domain.event import EventKind
from support.archive_reader import csv_rows
from support.run_maker import SECOND, START, IncarnationMaker, RunMaker, Sample, samples, write_journal

HOSTILE = "ConnectionError('a, \"b\"\\\n\r\n;')"
NAMES = [("POST", "/b"), ("GET", "/b"), ("GET", "/a"), ("", "plain"), ("PUT", 'x,"y"')]
# Plateaus: Locust takes the next higher rank, which is the same value unless a rank falls on an edge.
PLATEAUS_MS = [3] * 60 + [20] * 25 + [50] * 10 + [99] * 5
EXACT = (
    "Type",
    "Name",
    "Request Count",
    "Failure Count",
    "Median Response Time",
    "Average Response Time",
    "Min Response Time",
    "Max Response Time",
    "Average Content Size",
    "Requests/s",
    "Failures/s",
)


def taken():
    """Twelve seconds of every name; the 7th and 31st request of each name fail, in two ways."""
    found = []
    for number, name in enumerate(NAMES):
        for at, ms in enumerate(PLATEAUS_MS):
            error = {7: "boom", 31: HOSTILE}.get(at)
            end_s = 0.1 + 12 * at / len(PLATEAUS_MS) + number / 1000
            found.append(Sample(end_s, ms * 1000, name=name, error=error, bytes=100 + number))
    return sorted(found, key=lambda sample: sample.end_s)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("results") / "r").create()
    run = RunMaker().started()
    incarnation = IncarnationMaker()
    run.add(incarnation.batch(taken(), final=True))
    for node, count in (("host_b", 2), ("host_a", 1), ("host_b", 1)):
        run.event(EventKind.EXCEPTION, 3, message='no, not "that"', traceback="line 1\nline 2", count=count, node=node)
    run.event(EventKind.EXCEPTION, 3, message="another", traceback="", count=5, node="host_a")
    write_journal(folder.journal, run.stopped(13, requests=len(taken())).entries)
    close_run(folder, now_ns=START)
    return folder


@pytest.fixture(scope="module")
def locust_csv():
    """What Locust itself writes for the same requests."""
    clock = SimpleNamespace(now=START / SECOND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locust_stats, "time", SimpleNamespace(time=lambda: clock.now))
        stats = locust_stats.RequestStats()
        for sample in taken():
            clock.now = sample.end_ns / SECOND
            stats.log_request(*sample.name, sample.duration_us / 1000, sample.bytes)
            if sample.error is not None:
                stats.log_error(*sample.name, sample.error)
        exceptions = {
            1: {"count": 4, "msg": 'no, not "that"', "traceback": "line 1\nline 2", "nodes": ["host_b", "host_a"]},
            2: {"count": 5, "msg": "another", "traceback": "", "nodes": ["host_a"]},
        }
        environment = SimpleNamespace(stats=stats, runner=SimpleNamespace(user_count=5, exceptions=exceptions))
        writer = locust_stats.StatsCSV(environment, locust_stats.PERCENTILES_TO_REPORT)
        return {
            "stats": written(writer.requests_csv),
            "failures": written(writer.failures_csv),
            "exceptions": written(writer.exceptions_csv),
        }


def written(write):
    text = io.StringIO(newline="")
    write(csv.writer(text))
    return text.getvalue()


def parsed(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_failures_and_exceptions_are_written_byte_for_byte_as_by_locust(folder, locust_csv):
    assert folder.failures_csv.read_bytes().decode() == locust_csv["failures"]
    assert folder.exceptions_csv.read_bytes().decode() == locust_csv["exceptions"]
    assert len(csv_rows(folder.failures_csv)) == 2 * len(NAMES)


def test_stats_have_locusts_header_order_and_exact_values(folder, locust_csv):
    ours, theirs = csv_rows(folder.stats_csv), parsed(locust_csv["stats"])
    assert folder.stats_csv.read_bytes().split(b"\r\n")[0].decode() == locust_csv["stats"].split("\r\n")[0]
    assert [row["Name"] for row in theirs] == ["/a", "/b", "/b", "plain", 'x,"y"', "Aggregated"]
    for our, their in zip(ours, theirs, strict=True):
        for column in EXACT:
            assert our[column] == their[column] or float(our[column]) == pytest.approx(float(their[column])), column


def test_percentiles_are_locusts_where_locust_does_not_round(folder, locust_csv):
    for our, their in zip(csv_rows(folder.stats_csv), parsed(locust_csv["stats"]), strict=True):
        for column in ("50%", "66%", "75%", "80%", "90%", "98%", "99%", "99.9%", "99.99%", "100%"):
            assert our[column] == their[column], column


def test_history_has_locusts_header(folder, tmp_path):
    environment = SimpleNamespace(stats=locust_stats.RequestStats(), runner=None)
    writer = locust_stats.StatsCSVFileWriter(
        environment, locust_stats.PERCENTILES_TO_REPORT, str(tmp_path / "l"), full_history=True
    )
    writer.close_files()
    assert folder.stats_history_csv.read_bytes().split(b"\r\n")[0].decode() == ",".join(
        writer.stats_history_csv_columns
    )


def test_history_has_every_second_with_every_name_so_far_in_locusts_order(folder):
    history = csv_rows(folder.stats_history_csv)
    seconds = sorted({int(row["Timestamp"]) for row in history})
    assert seconds == list(range(START // SECOND, START // SECOND + 12))
    last = [row for row in history if int(row["Timestamp"]) == seconds[-1]]
    assert [(row["Type"], row["Name"]) for row in last] == [
        *sorted(NAMES, key=lambda name: name[::-1]),
        ("", "Aggregated"),
    ]
    totals = csv_rows(folder.stats_csv)
    for row, total in zip(last, totals, strict=True):
        for column in ("Request Count", "Failure Count", "Average Response Time", "Median Response Time"):
            assert row[f"Total {column}"] == total[column]


def test_history_looks_back_ten_seconds(tmp_path):
    folder = RunFolder(tmp_path / "r").create()
    run, incarnation = RunMaker().started(), IncarnationMaker()
    run.add(incarnation.batch(samples(100, 0, 2, duration_us=5000, error="x")))
    run.add(
        incarnation.batch([*samples(10, 14, 15, duration_us=90_000), Sample(14.99, name=("GET", "/new"))], final=True)
    )
    write_journal(folder.journal, run.stopped(15).entries)
    close_run(folder, now_ns=START)
    history = {
        (int(row["Timestamp"]) - START // SECOND, row["Name"]): row for row in csv_rows(folder.stats_history_csv)
    }
    assert {second for second, _ in history} == set(range(15))
    assert history[1, "/"]["Requests/s"] == "50.000000"
    assert history[1, "Aggregated"]["Failures/s"] == "50.000000"
    assert (history[10, "/"]["Requests/s"], history[10, "/"]["50%"]) == ("5.000000", "5")
    assert (history[12, "/"]["Requests/s"], history[12, "/"]["50%"]) == ("0.000000", "0")
    assert (history[14, "/"]["Requests/s"], history[14, "/"]["50%"]) == ("1.000000", "90")
    assert history[14, "/"]["Total Request Count"] == "110"
    assert history[14, "/"]["Total Median Response Time"] == "5"
    assert (13, "/new") not in history
    assert history[14, "/new"]["Total Request Count"] == "1"
    assert history[3, "Aggregated"]["User Count"] == "5"


def test_a_clock_that_jumped_does_not_fill_the_history_with_quiet_seconds(tmp_path):
    folder = RunFolder(tmp_path / "r").create()
    incarnation = IncarnationMaker()
    run = RunMaker().add(incarnation.batch([Sample(1)])).add(incarnation.batch([Sample(10_000)], final=True))
    write_journal(folder.journal, run.entries)
    close_run(folder, now_ns=START)
    assert len({row["Timestamp"] for row in csv_rows(folder.stats_history_csv)}) == 2


def test_more_errors_than_the_limit_are_counted_together(tmp_path):
    folder = RunFolder(tmp_path / "r").create()
    many = [Sample(1 + number / 100_000, error=f"error {number}") for number in range(10_500)]
    write_journal(folder.journal, RunMaker().add(IncarnationMaker().batch(many, final=True)).entries)
    close_run(folder, now_ns=START)
    failures = csv_rows(folder.failures_csv)
    assert len(failures) == 10_001
    assert sum(int(row["Occurrences"]) for row in failures) == 10_500
    assert max(failures, key=lambda row: int(row["Occurrences"]))["Error"] == "further errors"
