"""What less than the answered limits does, in sentences: what was tried, what was not, and why not."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Final

from loadstone.capacity.phrases import limits_phrase
from loadstone.capacity.search import MEMORY_HEADROOM
from loadstone.capacity.study_record import NeighbourRecord
from loadstone.capacity.telling import valid_trials, why_text
from loadstone.domain.units import MIB
from loadstone.rig.rig import memory_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadstone.capacity.study_record import SettingAnswerRecord, SettingQuestion, StudyRecord
    from loadstone.rig.rig import Setting

__all__ = ["sentences_on_less"]

_KEPT_FREE: Final = f"{100 * (MEMORY_HEADROOM - 1):.0f} %"


def sentences_on_less(
    study: StudyRecord, question: SettingQuestion, answer: SettingAnswerRecord, setting: Setting
) -> Iterator[str]:
    """What each neighbour smaller than the answered ``setting`` did, and why others were not tried."""
    for each in answer.smaller:
        yield _of_neighbour(study, setting, each)
    smaller = [memory for memory in question.mem_bytes if memory < setting.mem_bytes]
    if smaller and all(each.setting.mem_bytes == setting.mem_bytes for each in answer.smaller):
        yield from _not_tried(study, setting, smaller[-1])
    yield from _not_allowed(question, setting)


def _of_neighbour(study: StudyRecord, setting: Setting, neighbour: NeighbourRecord) -> str:
    less, many = neighbour.setting, setting.replicas > 1
    subject = "they" if many else "it"
    with_less = _with_less(setting, less)
    if neighbour.finding in {"fails", "breaks"}:
        return f"{with_less} {subject} {'do' if many else 'does'} not hold{why_text(study, setting=less)}."
    if neighbour.finding == "undecided":
        return f"{with_less} the trials were too near the limit to tell."
    spare = "" if _peak_fits(study, less, less.mem_bytes) else ", but without memory to spare"
    return f"{with_less} {subject} held too{spare}."


def _with_less(setting: Setting, less: Setting) -> str:
    each = " each" if setting.replicas > 1 else ""
    if less.mem_bytes == setting.mem_bytes:
        return f"With {less.cpu_cores:g} CPU{each}"
    if less.cpu_cores == setting.cpu_cores:
        return f"With {memory_text(less.mem_bytes)}{each}"
    return f"As {limits_phrase(less)}"


def _not_tried(study: StudyRecord, setting: Setting, less_bytes: int) -> Iterator[str]:
    """Why less memory is no neighbour of the answer: it broke before, or was not tried, as more was used."""
    less = replace(setting, mem_bytes=less_bytes)
    if valid := valid_trials(study, setting=less):
        if any(trial.broke for trial in valid):  # once is proof enough, so it is no neighbour of the answer
            yield _of_neighbour(study, setting, NeighbourRecord(setting=less, finding="breaks"))
        return
    if not (peaks := _peaks(study, setting)) or _peak_fits(study, setting, less_bytes):
        return
    were = "they were" if setting.replicas > 1 else "it was"
    held = f"a replica held up to {max(peaks) / MIB:,.0f}m"
    free = "" if median(peaks) > less_bytes else f", and {_KEPT_FREE} on top are kept free"
    yield f"{_with_less(setting, less)} {were} not tried, as {held}{free}."


def _not_allowed(question: SettingQuestion, setting: Setting) -> Iterator[str]:
    """What nobody allowed to be tried: limits below the lowest steps."""
    least = []
    if setting.cpu_cores == question.cpu_cores[0]:
        least.append(f"{setting.cpu_cores:g} CPU")
    if setting.mem_bytes == question.mem_bytes[0]:
        least.append(memory_text(setting.mem_bytes))
    if len(least) > 1 and setting.replicas == question.replicas[0]:
        yield "Nothing smaller was allowed."
    elif least:
        yield f"Less than {' or '.join(least)}{' each' if setting.replicas > 1 else ''} was not allowed."


def _peaks(study: StudyRecord, setting: Setting) -> Sequence[int]:
    trials = valid_trials(study, setting=setting)
    return [trial.peak_mem_bytes for trial in trials if trial.peak_mem_bytes is not None]


def _peak_fits(study: StudyRecord, setting: Setting, mem_bytes: int) -> bool:
    """Whether the usual working set of a setting would fit so much memory, as the search sees it."""
    peaks = _peaks(study, setting)
    return not peaks or MEMORY_HEADROOM * median(peaks) <= mem_bytes
