"""Studies out of nothing, with figures of a made-up target: one that was answered, and others made from it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from loadstone.capacity.study_record import (
    BottleneckRecord,
    CalibrationRecord,
    NeighbourRecord,
    RateAnswerRecord,
    RateQuestion,
    SettingAnswerRecord,
    SettingQuestion,
    StudyRecord,
    TrialRecord,
    UsersAnswerRecord,
    UsersQuestion,
)
from loadstone.domain.arrivals import Spread
from loadstone.domain.units import MIB
from loadstone.rig.rig import Setting

TOP = Setting(1.0, 768 * MIB, 2)
BEST = Setting(0.75, 512 * MIB, 2)
LESS_CPU = Setting(0.5, 512 * MIB, 2)
LESS_MEMORY = Setting(0.75, 256 * MIB, 2)
QUOTA = BottleneckRecord(
    cause="cpu quota",
    evidence="the CPU quota of 0.5 CPU throttled it in 83 % of the periods",
    cure="Give each replica more CPU, or share the load between more replicas",
)
SHORT = BottleneckRecord(cause="memory", evidence="the kernel killed processes once", cure="More memory")


def trial(number: int, setting: Setting | None, p95_ms: float | None, **changes: Any) -> TrialRecord:
    """A trial with an objective of 500 ms; without a latency it broke."""
    holds = p95_ms is not None and p95_ms < 500
    missed = () if holds else (f"p95 is {p95_ms} ms, must be < 500 ms",)
    fields: dict[str, Any] = {
        "users": 150,
        "window_s": 60.0,
        "run": f"20261127-12{number:02d}00-aaaa",
        "outcome": "holds" if holds else "does not hold",
        "reasons": missed if p95_ms is not None else ("target ran out of memory: 1 kill",),
        "broke": p95_ms is None,
        "margin": None if p95_ms is None else (p95_ms - 500) / 500,
        "margin_se": 0.05,
        "objective": "" if p95_ms is None else "p95<500ms",
        "rps": 148.25,
        "failures_pct": 0.25,
        "mean_ms": p95_ms and p95_ms / 2,
        "p95_ms": p95_ms,
        "p99_ms": p95_ms and p95_ms * 1.5,
        "max_ms": p95_ms and p95_ms * 3,
        "setting": setting,
        "read_back": "the Docker Engine" if setting else "",
        "cpu_cores": 0.4,
        "peak_mem_bytes": 301 * MIB,
        "idle_mem_bytes": 120 * MIB,
        "throttled_pct": 3.0 if holds else 83.0,
    }
    return TrialRecord(**(fields | changes))


SETTINGS_STUDY = StudyRecord(
    id="20261127-120000-aaaa",
    started_at="2026-11-27T12:00:00.000000Z",
    scenario=("scenario.py",),
    workload="0",
    host="http://target",
    rig="service target of a compose project",
    objectives=("p95<500ms", "failures<=1%"),
    question=SettingQuestion(
        users=150,
        cpu_cores=(0.25, 0.5, 0.75, 1.0),
        mem_bytes=(256 * MIB, 512 * MIB, 768 * MIB),
        replicas=(1, 2),
        price_cpu=0.04,
        price_memory=0.01,
        price_replica=0.0,
    ),
    measure_s=60.0,
    warmup_s=10.0,
    calibration=CalibrationRecord(
        run="20261127-115000-cccc", rps=400.0, p95_ms=2.0, worker_cpu_pct=20.0, ceiling_rps=2000.0, cores=0.4
    ),
    trials=(
        trial(1, TOP, 200),
        trial(2, BEST, 300),
        trial(3, BEST, 310),
        trial(4, BEST, 320),
        trial(5, BEST, None, outcome="invalid", broke=False, reasons=("worker 0 used 91 % of a core",)),
        trial(6, LESS_CPU, 900, bottleneck=QUOTA),
        trial(7, LESS_CPU, 950, bottleneck=QUOTA),
        trial(8, LESS_MEMORY, None, bottleneck=SHORT),
    ),
    answer=SettingAnswerRecord(
        setting=BEST,
        price=0.07,
        margin=-0.4,
        margin_se=0.05,
        trials=3,
        smaller=(
            NeighbourRecord(setting=LESS_CPU, finding="fails", margin=0.85, margin_se=0.06, trials=2),
            NeighbourRecord(setting=LESS_MEMORY, finding="breaks", trials=1),
        ),
        smaller_fails=True,
        proved=True,
    ),
)
BEGUN_USERS_STUDY = StudyRecord(
    id="20261120-120000-aaaa",
    started_at="2026-11-20T12:00:00.000000Z",
    scenario=("scenario.py",),
    workload="0",
    host="http://target",
    objectives=("p95<100ms",),
    question=UsersQuestion(at_least=1, at_most=100_000, first=50),
    measure_s=30.0,
    warmup_s=10.0,
)
"""One that has asked nothing yet."""
USERS_STUDY = replace(
    SETTINGS_STUDY,
    rig="",
    calibration=None,
    question=UsersQuestion(at_least=1, at_most=100_000, first=50),
    trials=(
        trial(1, None, 100, users=50),
        trial(2, None, 300, users=100),
        trial(3, None, 900, users=200, bottleneck=QUOTA),
        trial(4, None, 450, users=140),
    ),
    answer=UsersAnswerRecord(holds=140, not_held=200, proved=True),
)
RATE_STUDY = replace(
    USERS_STUDY,
    question=RateQuestion(at_least=1.0, at_most=100_000.0, first=50.0, spread=Spread.POISSON),
    trials=(
        trial(1, None, 100, users=None, rate=800.0),
        trial(2, None, 900, users=None, rate=1_600.0, bottleneck=QUOTA),
        trial(3, None, 450, users=None, rate=1_130.5),
    ),
    answer=RateAnswerRecord(holds=1_130.5, not_held=1_600.0, proved=True),
)


def settings_study(**changes: Any) -> StudyRecord:
    """The answered study of settings, with changes."""
    return replace(SETTINGS_STUDY, **changes)
