"""Random targets for the simulation of capacity studies: how each would answer under every setting of a grid.

A world is a closed loop of users with think time on replicas that are limited in CPU and memory: waiting by the
approximation of Sakasegawa for several servers, the working point by Little's law, CPU quotas as throttling that shows
once the work of a period of 100 ms may exceed its quota, processes that cannot use more than a core in a third of the
worlds, and a working set that grows with users and requests in flight. The truth of a setting is that of a long run.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from loadstone.capacity.evidence import SettingObservation
from loadstone.capacity.grid import Grid, Point, Prices

MIB = 1024**2
PRICES = Prices(cpu_core=1.0, mem_gib=0.15)
COARSE = Grid(
    cpu_cores=tuple(0.25 * step for step in range(1, 17)),
    mem_bytes=tuple(128 * MIB * step for step in range(1, 11)),
    replicas=tuple(range(1, 7)),
    prices=PRICES,
)
FINE = Grid(
    cpu_cores=tuple(round(0.1 * step, 1) for step in range(1, 41)),
    mem_bytes=tuple(96 * MIB * step for step in range(1, 13)),
    replicas=(1, 2),
    prices=PRICES,
)
SHIFTS = np.linspace(-0.25, 0.55, 33)
"""By how much, as a logarithm, the work of a request may differ in one run; the surface is tabulated for these."""
USUAL = int(np.argmin(abs(SHIFTS)))
MOST_BUSY = 0.99999
PERIOD_S = 0.1
OVERHEAD_S = 60.0
LONG_RUN_S = 600.0

Floats = NDArray[np.float64]


@dataclass
class Target:
    """One random service and its load. Times in seconds, memory in MiB; drawn by `drawn`."""

    users: int
    think_s: float
    work_s: float
    variation: float
    parallel: float
    base_s: float
    background: float
    limit_s: float
    quantile: float
    throttled_s: float
    idle_mib: float
    mib_per_user: float
    mib_in_flight: float
    run_sd: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Target:
        """A service that needs 0.6 to 7 cores for 200 to 10,000 users."""
        users = int(exp(rng.uniform(log(200), log(10_000))))
        think_s = rng.uniform(0.5, 3)
        work_s = exp(rng.uniform(log(0.6), log(7))) * think_s / users
        variation = rng.uniform(0.4, 1.5)
        parallel = rng.choice([1.0, 1.1, 2.0, 99.0], p=[0.35, 0.2, 0.15, 0.3])
        base_s = rng.uniform(0.002, 0.02)
        return cls(
            users=users,
            think_s=think_s,
            work_s=work_s,
            variation=variation,
            parallel=parallel,
            base_s=base_s,
            background=rng.uniform(0.005, 0.03),
            limit_s=(base_s + work_s * (1 + 2 * variation)) * rng.uniform(1.8, 8) + 0.01,
            quantile=rng.choice([0.95, 0.99]),
            throttled_s=rng.uniform(0.02, 0.09),
            idle_mib=rng.uniform(110, 320),
            mib_per_user=exp(rng.uniform(log(0.01), log(0.12))),
            mib_in_flight=rng.uniform(0.1, 0.6),
            run_sd=rng.uniform(0.01, 0.03),
        )


class World:
    """A target under every setting of a grid.

    Arrays by CPU step and index of replicas: ``log_latency`` of the objective's quantile (and by shift of the work of a
    request), ``rate`` in requests/s, ``used`` cores of one replica, ``busy`` share of what it may use, ``peak_mib``.
    ``holds`` by CPU, memory and replicas: the truth.
    """

    def __init__(self, grid: Grid, seed: int) -> None:
        self.grid, self.seed = grid, seed
        rng = np.random.default_rng(seed)
        while True:
            self.target = Target.drawn(rng)
            self._spread()
            if self.holds[tuple(grid.top)] and self.best.cpu >= 1:
                break

    def _spread(self) -> None:
        self._work()
        mem_mib = np.array(self.grid.mem_bytes) / MIB
        longest = self.peak_mib * (1 + 0.02 * log(LONG_RUN_S / 60)) * exp(1.645 * 0.012)
        fast = np.array([np.interp(0.0, SHIFTS, row) for row in self.log_latency.reshape(-1, len(SHIFTS))])
        fast = fast.reshape(self.log_latency.shape[:2]) <= log(self.target.limit_s)
        self.fast = fast
        self.holds = fast[:, None, :] & (longest[:, None, :] <= mem_mib[None, :, None])
        points = [Point(*map(int, at)) for at in np.argwhere(self.holds)]
        self.best = min(points, key=self.grid.cost, default=Point(0, 0, 0))

    def _work(self) -> None:
        """Find the working point of each setting by halving the interval of its rate, and what follows from it."""
        target = self.target
        cores = np.array(self.grid.cpu_cores)[:, None, None]
        replicas = np.array(self.grid.replicas, dtype=float)[None, :, None]
        work_s = target.work_s * np.exp(SHIFTS)[None, None, :]
        usable = np.minimum(cores, target.parallel)
        servers = np.maximum(usable, 1)
        service_s = work_s / np.minimum(usable, 1.0)
        low = np.zeros(np.broadcast_shapes(cores.shape, replicas.shape, work_s.shape))
        high = np.full(low.shape, target.users / target.think_s)
        for _ in range(45):
            rate = (low + high) / 2
            used = rate * work_s / replicas + target.background
            busy = np.minimum(used / usable, MOST_BUSY)
            queue = busy ** (np.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - busy))
            response_s = target.base_s + service_s * (1 + queue * (1 + target.variation**2) / 2)
            too_slow = (rate < target.users / (target.think_s + response_s)) & (used < usable * MOST_BUSY)
            low, high = np.where(too_slow, rate, low), np.where(too_slow, high, rate)
        used = low * work_s / replicas + target.background
        waiting_s = target.users / np.maximum(low, 1e-9) - target.think_s - target.base_s - service_s
        waiting_s = np.maximum(waiting_s, 0)
        self.log_latency = self._quantile(low / replicas, used, used / usable, cores, work_s, service_s, waiting_s)
        self.rate, self.used, self.busy = low[..., USUAL], used[..., USUAL], (used / usable)[..., USUAL]
        in_flight = (low * response_s / replicas)[..., USUAL]
        self.peak_mib = (
            target.idle_mib + target.mib_per_user * target.users / replicas[..., 0] + target.mib_in_flight * in_flight
        )

    def _quantile(
        self,
        rate: Floats,
        used: Floats,
        busy: Floats,
        cores: Floats,
        work_s: Floats,
        service_s: Floats,
        waiting_s: Floats,
    ) -> Floats:
        """The logarithm of the objective's quantile; more CPU never makes it worse."""
        target = self.target
        beyond = 1 - target.quantile
        log_variance = log(1 + target.variation**2)
        z = normal_quantile(target.quantile)
        service = target.base_s + service_s * exp(z * sqrt(log_variance) - log_variance / 2)
        waiting = waiting_s * log(1 / beyond) * np.clip(busy, 0.2, 1)
        variance = rate * PERIOD_S * work_s**2 * (1 + target.variation**2) + 1e-9
        over_quota = 1 - ndtr((cores - used) * PERIOD_S / np.sqrt(variance))
        throttled = target.throttled_s / (1 + np.exp(-(over_quota - beyond) / (0.35 * beyond)))
        throttled = np.where(target.parallel > cores, throttled, 0.0)
        return np.minimum.accumulate(np.log(service + waiting + throttled), axis=0)


def normal_quantile(quantile: float) -> float:
    """Of the standard normal distribution, for the two quantiles that objectives here have."""
    return {0.95: 1.645, 0.99: 2.326}[float(quantile)]


class Laboratory:
    """Runs trials in a world: 1 to 3 % noise between runs, 4 % go wrong, of which 60 % are noticed and repeated."""

    def __init__(self, world: World, seed: int, *, wrong: float = 0.04, run_sd: float | None = None) -> None:
        self.world = world
        self.rng = np.random.default_rng(seed)
        self.wrong = wrong
        self.run_sd = world.target.run_sd if run_sd is None else run_sd
        self.trials = 0
        self.seconds = 0.0

    def observe(self, point: Point, window_s: float) -> SettingObservation:
        """A trial that nothing speaks against, after at most three repetitions."""
        for _ in range(4):
            observation, noticed = self._trial(point, window_s)
            if not noticed:
                break
        return observation

    def _trial(self, point: Point, window_s: float) -> tuple[SettingObservation, bool]:
        world, at = self.world, (point.cpu, point.replicas)
        self.trials += 1
        self.seconds += OVERHEAD_S + window_s
        shift, noticed = self._shift()
        se = self._error(at, window_s)
        log_latency = np.interp(shift, SHIFTS, world.log_latency[at]) + self.rng.normal(0, se)
        se *= exp(self.rng.normal(0, 0.25))
        limit_mib = world.grid.mem_bytes[point.mem] / MIB
        growth = 1 + 0.02 * log(max(window_s, 10) / 60)
        peak_mib = world.peak_mib[at] * growth * exp(self.rng.normal(0, 0.012) + (0.03 if shift >= 0.08 else 0.0))
        out_of_memory = peak_mib > limit_mib
        if out_of_memory:
            self.seconds -= window_s / 2
        elif peak_mib > 0.95 * limit_mib:
            log_latency += self.rng.uniform(0.02, 0.25)
        observation = SettingObservation(
            margin=None if out_of_memory else float(log_latency - log(world.target.limit_s)),
            margin_se=float(se),
            cpu_cores=float(world.used[at] * exp(shift) * exp(self.rng.normal(0, 0.01))),
            peak_mem_bytes=int(min(peak_mib, limit_mib) * MIB),
            idle_mem_bytes=int(world.target.idle_mib * 0.97 * MIB),
        )
        return observation, noticed

    def _shift(self) -> tuple[float, bool]:
        """By how much this run's work differs, and whether somebody notices that it went wrong."""
        shift, drawn = self.rng.normal(0, self.run_sd), self.rng.random()
        if drawn < self.wrong:
            return shift + self.rng.uniform(0.08, 0.4), bool(self.rng.random() < 0.6)
        if drawn < self.wrong + 0.01:
            return shift - self.rng.uniform(0.08, 0.2), bool(self.rng.random() < 0.9)
        return shift, False

    def _error(self, at: tuple[int, int], window_s: float) -> float:
        """The standard error of the log quantile in a window: that of a queue, plus that of independent requests."""
        world, target = self.world, self.world.target
        busy = min(world.busy[at], 0.98)
        usable = max(min(world.grid.cpu_cores[at[0]], target.parallel), 0.25)
        relaxation_s = (
            (1 + target.variation**2) / 2 * target.work_s / min(usable, 1) / (max(usable, 1) * (1 - busy) ** 2)
        )
        slow = 4.5 * relaxation_s
        queue = slow / window_s / (1 + slow / 1.2) * (1.0 if target.quantile == 0.95 else 1.5)
        requests = max(20, world.rate[at] * window_s)
        z = normal_quantile(target.quantile)
        density = exp(-z * z / 2) / 2.5066 / max(sqrt(log(1 + target.variation**2)), 0.3)
        return sqrt(queue + target.quantile * (1 - target.quantile) / requests / density**2)
