"""The journal: what was acknowledged is there, what was torn is not invented, what is damaged is said."""

import os
import stat
import struct
from itertools import pairwise
from zlib import crc32

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstone.archive.journal.frame import MARK, SEGMENT_MAGIC, Entry, EntryKind, Segment, frame, mark
from loadstone.archive.journal.reader import SalvageReader, read_journal
from loadstone.archive.journal.writer import JournalWriter
from loadstone.errors import ArchiveError, UnreadableRunError
from support.full_disk import files_no_larger_than

ENTRIES = [
    Entry(EntryKind.EVENTS, "1700-0", b"started"),
    Entry(EntryKind.SAMPLES, "1700-1", bytes(range(60))),
    Entry(EntryKind.SAMPLES, "", b""),
    Entry(EntryKind.USAGE, "1701-0", b"\xa7J" * 9),
]


def write(folder, entries, *, sync_every=1, segment_bytes=1 << 20, close=True):
    writer = JournalWriter(folder, segment_bytes=segment_bytes)
    for number, entry in enumerate(entries, start=1):
        writer.append(*entry)
        if number % sync_every == 0:
            writer.sync()
    if close:
        writer.close()
    return writer


def segments(folder):
    return sorted(folder.iterdir())


def boundaries(data):
    """The offset at which each entry is complete."""
    segment = Segment(data)
    return [segment.end for _ in _with_ends(segment)]


def _with_ends(segment):
    for entry in segment:
        yield entry, segment.end


@given(st.lists(st.tuples(st.sampled_from(EntryKind), st.text(max_size=20), st.binary(max_size=300)), max_size=30))
def test_entries_come_back_as_they_went_in_across_segments(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("journal")
    write(folder, [Entry(*entry) for entry in entries], sync_every=3, segment_bytes=500)
    assert list(read_journal(folder)) == entries


def test_a_journal_that_is_not_there_has_no_entries(tmp_path):
    assert list(read_journal(tmp_path / "journal")) == []


def test_a_writer_goes_on_where_the_last_one_stopped(tmp_path):
    for entry in ENTRIES:
        write(tmp_path, [entry])
    assert list(read_journal(tmp_path)) == ENTRIES
    assert len(segments(tmp_path)) == 1


def test_segments_are_filled_up_to_their_size_and_an_entry_is_never_split(tmp_path):
    write(tmp_path, [Entry(EntryKind.SAMPLES, "1-0", bytes(100))] * 20, segment_bytes=400)
    assert len(segments(tmp_path)) > 5
    assert all(path.stat().st_size <= 400 + len(mark(0)) for path in segments(tmp_path))


def test_what_was_not_synced_is_readable_while_the_writer_is_open(tmp_path):
    write(tmp_path, ENTRIES, sync_every=99, close=False)
    assert list(read_journal(tmp_path)) == ENTRIES


@pytest.mark.parametrize("closed", [True, False])
def test_a_cut_at_every_byte_of_the_last_segment_leaves_the_whole_entries_before_it(tmp_path, closed):
    # The segment before the last holds two entries that no cut may touch.
    write(tmp_path, ENTRIES * 2, sync_every=99, segment_bytes=180, close=closed)
    *before, last = segments(tmp_path)
    data, whole = last.read_bytes(), [e for path in before for e in Segment(path.read_bytes())]
    entries, ends = list(Segment(data)), boundaries(data)
    assert before
    assert entries
    for cut in range(len(data)):
        last.write_bytes(data[:cut])
        expected = whole + [entry for entry, end in zip(entries, ends, strict=True) if end <= cut]
        assert list(read_journal(tmp_path)) == expected
        write(tmp_path, ENTRIES[:1])
        assert list(read_journal(tmp_path)) == expected + ENTRIES[:1]
        last.write_bytes(data)


def test_a_flip_of_any_byte_of_a_closed_journal_is_detected(tmp_path):
    write(tmp_path, ENTRIES)
    (path,) = segments(tmp_path)
    data = path.read_bytes()
    last_mark = len(data) - len(mark(0))
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        if at >= last_mark:  # nothing but the mark is damaged: no entry is lost
            assert list(read_journal(tmp_path)) == ENTRIES
            continue
        with pytest.raises(ArchiveError, match=r"00000001\.lsj is damaged at byte \d+"):
            list(read_journal(tmp_path))
        with pytest.raises(ArchiveError, match="damaged"):
            JournalWriter(tmp_path)


def test_a_flip_of_any_byte_never_yields_an_entry_that_was_not_written(tmp_path):
    write(tmp_path, ENTRIES, sync_every=99, close=False)
    (path,) = segments(tmp_path)
    data = path.read_bytes()
    for at in range(4, len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        found = list(read_journal(tmp_path))
        assert found == ENTRIES[: len(found)]
        assert len(found) < len(ENTRIES)


def test_an_unacknowledged_tail_with_a_hole_in_it_is_torn_and_not_damaged(tmp_path):
    write(tmp_path, ENTRIES[:2])
    (path,) = segments(tmp_path)
    synced = path.stat().st_size
    write(tmp_path, ENTRIES * 2, sync_every=99, close=False)
    data = path.read_bytes()
    hole = synced + 20
    path.write_bytes(data[:hole] + bytes(16) + data[hole + 16 :])
    assert list(read_journal(tmp_path)) == ENTRIES[:2]


def test_damage_in_a_segment_before_the_last_names_file_and_offset_or_is_left_out(tmp_path):
    write(tmp_path, ENTRIES * 6, segment_bytes=300)
    first, second, *_ = segments(tmp_path)
    kept = list(Segment(first.read_bytes()))
    data = bytearray(second.read_bytes())
    data[30] ^= 1
    second.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"00000002\.lsj is damaged at byte 4") as error:
        list(read_journal(tmp_path))
    assert "recover" in error.value.hint
    reader = SalvageReader(tmp_path)
    found = list(reader)
    assert found == (ENTRIES * 6)[: len(kept)] + (ENTRIES * 6)[len(kept) + 1 :], "the damaged entry alone is left out"
    assert [(each.file, each.start) for each in reader.damage] == [("00000002.lsj", 4)]


def test_a_missing_segment_is_damage(tmp_path):
    write(tmp_path, ENTRIES * 6, segment_bytes=300)
    segments(tmp_path)[1].unlink()
    with pytest.raises(UnreadableRunError, match=r"00000002\.lsj is missing"):
        list(read_journal(tmp_path))
    reader = SalvageReader(tmp_path)
    kept = [entry for path in segments(tmp_path) for entry in Segment(path.read_bytes())]
    assert list(reader) == kept
    assert [(each.file, each.start, each.end) for each in reader.damage] == [("00000002.lsj", 0, None)]


@pytest.mark.parametrize("number", [1, 2])
def test_a_torn_tail_anywhere_but_in_the_last_segment_is_damage(tmp_path, number):
    write(tmp_path, ENTRIES * 6, segment_bytes=300)
    path = segments(tmp_path)[number - 1]
    os.truncate(path, path.stat().st_size - 3)
    with pytest.raises(UnreadableRunError, match=rf"0000000{number}\.lsj is damaged at byte \d+") as error:
        list(read_journal(tmp_path))
    assert f"loadstone recover {tmp_path.parent.name} --salvage" in error.value.hint
    assert error.value.exit_code == 2


def test_salvaging_leaves_out_only_the_entry_that_a_flip_of_any_byte_has_hit(tmp_path):
    write(tmp_path, ENTRIES * 2)
    (path,) = segments(tmp_path)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        reader = SalvageReader(tmp_path)
        found = list(reader)
        lost = len(ENTRIES * 2) - len(found)
        assert lost == (1 if at >= 4 and not in_mark(data, at) else 0), at
        assert found == without(ENTRIES * 2, found)
        (damage,) = reader.damage
        assert damage.start <= at < damage.end


@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=4),
)
def test_whatever_is_overwritten_every_entry_that_was_not_hit_is_salvaged_and_none_is_invented(
    tmp_path_factory, blobs, overwritten
):
    folder = tmp_path_factory.mktemp("journal")
    entries = [Entry(EntryKind.SAMPLES, f"{number}-0", blob) for number, blob in enumerate(blobs)]
    write(folder, entries, sync_every=2)
    (path,) = segments(folder)
    whole = path.read_bytes()
    data = bytearray(whole)
    for at, some in overwritten:
        start = at % len(data)
        data[start : start + len(some)] = some[: len(data) - start]
    path.write_bytes(data)
    segment = Segment(whole)
    spans = [(end - len(frame(entry)), end) for entry, end in _with_ends(segment)]
    untouched = [
        entry for entry, (start, end) in zip(entries, spans, strict=True) if data[start:end] == whole[start:end]
    ]
    assert list(SalvageReader(folder)) == untouched


def in_mark(data, at):
    return any(data[start : start + 16] == mark(start) for start in range(max(0, at - 15), at + 1))


def without(entries, found):
    """The entries without those that were not found, in their order."""
    rest = iter(found)
    wanted = next(rest, None)
    kept = []
    for entry in entries:
        if entry == wanted:
            kept.append(entry)
            wanted = next(rest, None)
    return kept


@pytest.mark.parametrize("moved", [-7, 5])
def test_salvaging_finds_what_has_moved_because_bytes_before_it_were_lost_or_added(tmp_path, moved):
    write(tmp_path, ENTRIES * 2)
    (path,) = segments(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:30] + bytes(moved) + data[30:] if moved > 0 else data[:30] + data[30 - moved :])
    reader = SalvageReader(tmp_path)
    assert list(reader) == (ENTRIES * 2)[1:]
    assert [each.start for each in reader.damage] == [4], "the marks that have moved are no damage"


def test_what_looks_like_an_entry_inside_a_damaged_one_is_not_taken_for_one(tmp_path):
    forged = Entry(EntryKind.EVENTS, "9-9", b"forged")
    write(tmp_path, [Entry(EntryKind.SAMPLES, "1-0", b"x" * 20 + frame(forged) + b"x" * 20), ENTRIES[0]])
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[4 + 16 + 5] ^= 1  # in the body of the first entry, whose header stays whole
    path.write_bytes(data)
    assert list(SalvageReader(tmp_path)) == [ENTRIES[0]]


@pytest.mark.parametrize("content", [b"", b"\0", b"LSJ1", bytes(100)])
def test_salvaging_a_segment_without_any_entry_finds_none(tmp_path, content):
    write(tmp_path, ENTRIES)
    (path,) = segments(tmp_path)
    path.write_bytes(content)
    assert list(SalvageReader(tmp_path)) == []


def test_a_full_disk_refuses_the_entry_and_keeps_what_was_there(tmp_path):
    writer = JournalWriter(tmp_path)
    for entry in ENTRIES:
        writer.append(*entry)
    writer.sync()
    with files_no_larger_than(segments(tmp_path)[0].stat().st_size + 50):
        with pytest.raises(ArchiveError, match="cannot write the journal") as error:
            writer.append(EntryKind.SAMPLES, "9-0", bytes(500))
        writer.sync()
        assert "Free some disk space" in error.value.hint
        assert list(read_journal(tmp_path)) == ENTRIES
    writer.append(EntryKind.SAMPLES, "9-0", bytes(500))
    writer.close()
    assert list(read_journal(tmp_path)) == [*ENTRIES, Entry(EntryKind.SAMPLES, "9-0", bytes(500))]


def test_a_disk_too_full_for_the_next_segment_refuses_and_recovers(tmp_path):
    writer = JournalWriter(tmp_path, segment_bytes=200)
    writer.append(EntryKind.SAMPLES, "1-0", bytes(150))
    with files_no_larger_than(2), pytest.raises(ArchiveError):
        writer.append(EntryKind.SAMPLES, "2-0", bytes(150))
    writer.append(EntryKind.SAMPLES, "2-0", bytes(150))
    writer.close()
    assert [entry.stream_id for entry in read_journal(tmp_path)] == ["1-0", "2-0"]


def test_entries_whose_sync_failed_are_written_again(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path)
    writer.append(*ENTRIES[0])
    writer.sync()
    writer.append(*ENTRIES[1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync)
        with pytest.raises(ArchiveError):
            writer.sync()
    path = segments(tmp_path)[0]
    os.truncate(path, path.stat().st_size - 30)  # what a kernel that dropped the pages leaves behind
    writer.append(*ENTRIES[2])
    writer.close()
    assert list(read_journal(tmp_path)) == ENTRIES[:3]


def test_a_journal_whose_closing_failed_never_touches_the_file_that_gets_its_number_next(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path / "first")
    writer.append(*ENTRIES[0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync)
        with pytest.raises(ArchiveError, match="No space left"):
            writer.close()
    other = JournalWriter(tmp_path / "second")  # the kernel gives the lowest free number to it
    for entry in ENTRIES:
        other.append(*entry)
    other.sync()
    for use in (writer.sync, lambda: writer.append(*ENTRIES[0])):
        with pytest.raises(ArchiveError, match="is closed"):
            use()
    writer.close()
    other.close()
    assert list(read_journal(tmp_path / "second")) == ENTRIES


def test_a_journal_that_cannot_be_opened_leaves_no_file_open(tmp_path, monkeypatch):
    before = open_files()
    monkeypatch.setattr(os, "fsync", lambda fd: failing_fsync(fd) if is_file(fd) else None)
    with pytest.raises(ArchiveError, match="No space left"):
        JournalWriter(tmp_path)
    assert open_files() == before


def open_files():
    return psutil.Process().num_fds()


def is_file(fd):
    return stat.S_ISREG(os.fstat(fd).st_mode)


def failing_fsync(_fd):
    raise OSError(28, "No space left on device")


def test_marks_stand_between_synced_groups_only(tmp_path):
    write(tmp_path, ENTRIES, sync_every=2)
    data = segments(tmp_path)[0].read_bytes()
    marks = [at for at in range(len(data)) if data[at : at + 16] == mark(at)]
    assert len(marks) == 2
    assert data[marks[0] + 2] == MARK


def test_a_stream_id_that_does_not_fit_is_refused(tmp_path):
    writer = JournalWriter(tmp_path)
    with pytest.raises(ValueError, match="256 bytes"):
        writer.append(EntryKind.EVENTS, "x" * 256, b"")
    writer.close()


def test_boundaries_ascend(tmp_path):
    write(tmp_path, ENTRIES)
    assert all(left < right for left, right in pairwise(boundaries(segments(tmp_path)[0].read_bytes())))


@pytest.mark.attack("a frame whose stream id is no text", "it is read, and its entry kept")
def test_a_stream_id_that_is_no_text_does_not_keep_a_journal_from_being_read(tmp_path):
    written = frame(Entry(EntryKind.USAGE, "xx", b"{}"))
    head = struct.pack("<2sBBII", b"\xa7J", EntryKind.USAGE, 2, 2, crc32(b"\xff\xfe{}"))
    forged = head + struct.pack("<I", crc32(head)) + b"\xff\xfe{}"
    assert len(forged) == len(written)
    (tmp_path / "00000001.lsj").write_bytes(SEGMENT_MAGIC + forged)
    assert [entry.blob for entry in read_journal(tmp_path)] == [b"{}"]


@pytest.mark.attack(
    "files in a journal that are no segments", "they are left out, and a missing segment is damage at once"
)
def test_only_numbered_files_are_segments_and_a_large_number_costs_no_time(tmp_path):
    for name in ("1abc.lsj", "²0000001.lsj", "notes.lsj"):
        (tmp_path / name).write_bytes(b"nothing")
    assert list(read_journal(tmp_path)) == []
    (tmp_path / "99999999.lsj").write_bytes(SEGMENT_MAGIC)
    with pytest.raises(ArchiveError, match=r"00000001\.lsj is missing"):
        list(read_journal(tmp_path))
    reader = SalvageReader(tmp_path)
    assert list(reader) == []
    assert len(reader.damage) == 1
