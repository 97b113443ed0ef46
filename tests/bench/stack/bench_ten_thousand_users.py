"""Ten thousand users inside the stack: every part of it counts the same requests.

It prints how many each part counted, and what the run was like: rate, latencies, usage, and the time until a request is
in InfluxDB. Without an engine, CI=true installs one.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from support.compose_stack import SCALES

if TYPE_CHECKING:
    from support.compose_stack import ComposeStack

USERS = 10_000
SPAWN_RATE = 50
REQUESTS = 50_000
"""How many more are waited for once all users run."""
RESOLUTIONS = {"1s", "10s", "60s", "run"}
LEARNERS = SCALES["locust-worker"] + 1
"""Every worker and the master ask the target once what its model is like."""
ASK_BALANCER = r'exec 3<>/dev/tcp/127.0.0.1/8404; printf "GET /stats;csv HTTP/1.0\r\n\r\n" >&3; cat <&3'


def bench_ten_thousand_users(patient_stack: ComposeStack) -> None:
    """Start, wait, stop; then ask every part."""
    stack = patient_stack
    before, passed_before = sum(stack.predictions().values()), balanced(stack, "hrsp_2xx")
    stack.start_run(USERS, SPAWN_RATE)
    stack.wait_for_requests(REQUESTS)
    run = stack.stop_run()
    served, passed = sum(stack.predictions().values()) - before, balanced(stack, "hrsp_2xx") - passed_before
    counts = {
        "Locust's own total": stack.final_totals(run)["requests"],
        # What was cut off at the end was served and not counted.
        "target, served and not cut off": served - run["aborted"],
        "balancers, passed and not cut off": passed - run["aborted"] - LEARNERS,
        **counts_of_the_archive(stack, run),
        **counts_of_influx(stack, run["id"]),
    }
    told(run, counts)
    print(f"connections to {len(stack.names('balancer'))} balancers: {balanced(stack, 'smax'):,} at most")
    told_usage(stack, run["id"])
    told_delivery(stack, run["id"])
    assert set(counts.values()) == {run["requests"]}, counts
    assert run["ledgers"]["archive"]["balances"], run["ledgers"]
    assert (run["failures"], run["lost_workers"], run["workers"]) == (0, [], SCALES["locust-worker"])
    assert run["users_peak"] == peak_in_influx(stack, run["id"]) == USERS


def balanced(stack: ComposeStack, column: str) -> int:
    """A figure of HAProxy's own statistics of the door that users come through, all balancers together."""
    total = 0
    for index in range(1, len(stack.names("balancer")) + 1):
        _, _, table = stack.inside("balancer", "bash", "-c", ASK_BALANCER, index=index).stdout.partition("# ")
        rows = {(row["pxname"], row["svname"]): row for row in csv.DictReader(table.splitlines())}
        total += int(rows["predictions", "FRONTEND"][column])
    return total


def counts_of_the_archive(stack: ComposeStack, run: dict[str, Any]) -> dict[str, int]:
    """Requests as both ledgers and the table of requests have them."""
    archive, influx = run["ledgers"]["archive"], run["ledgers"]["influx"]
    return {
        "archive, produced by workers": archive["produced"],
        "archive, stored": archive["stored"],
        "archive, rows of requests.parquet": pq.read_metadata(stack.results / run["id"] / "requests.parquet").num_rows,
        "InfluxDB, stored by its ledger": influx["stored"],
    }


def counts_of_influx(stack: ComposeStack, run: str) -> dict[str, int]:
    """Requests as raw points and as rollups at every resolution, by name and over all names."""
    (raw,) = stack.influx(f'SELECT count("rt_ms") AS n FROM "request" WHERE "run" = \'{run}\'')
    counts = {"InfluxDB, raw points": int(raw["n"])}
    for measurement in ("rollup", "rollup_all"):
        rows = stack.influx(f'SELECT sum("n") AS n FROM "{measurement}" WHERE "run" = \'{run}\' GROUP BY "res"')
        assert {row["res"] for row in rows} == RESOLUTIONS
        counts |= {f"InfluxDB, {measurement} with res={row['res']}": int(row["n"]) for row in rows}
    return counts


def peak_in_influx(stack: ComposeStack, run: str) -> int:
    """The most users at the end of a second."""
    (row,) = stack.influx(f'SELECT max("users") AS n FROM "rollup_all" WHERE "run" = \'{run}\' AND "res" = \'1s\'')
    return int(row["n"])


def told(run: dict[str, Any], counts: dict[str, int]) -> None:
    total = run["summary"]["window"]["total"]
    print(f"\n{run['users_peak']:,} users, {run['failures']} failures, {run['aborted']} cut off at the end")
    for what, n in counts.items():
        print(f"{what:<35} {n:>9,}")
    percentiles = ", ".join(f"{name} {total[f'{name}_ms']:.1f} ms" for name in ("p50", "p95", "p99"))
    print(f"in the window of {run['window']['seconds']:.0f} s: {total['rps']:.0f} requests/s, {percentiles}")


def told_usage(stack: ComposeStack, run: str) -> None:
    """Cores on average and memory at most over the whole run, all containers of a service together."""
    rows = stack.influx(
        f'SELECT mean("cpu_cores") AS cpu, max("mem_bytes") AS memory FROM "container" WHERE "run" = \'{run}\' '
        'GROUP BY "service", "container"'
    )
    for service in sorted({row["service"] for row in rows}):
        own = [row for row in rows if row["service"] == service]
        cores, memory = (sum(row[what] for row in own) for what in ("cpu", "memory"))
        print(f"{service:<15} x {len(own)}: {cores:.2f} cores, {memory / 1e6:,.0f} MB")


def told_delivery(stack: ComposeStack, run: str) -> None:
    """How long the last request of each second took into InfluxDB."""
    times = 'median("visible_s") AS half, percentile("visible_s", 95) AS p95, max("visible_s") AS most'
    (row,) = stack.influx(f'SELECT {times} FROM "delivery" WHERE "run" = \'{run}\'')
    spread = f"p50 {row['half']:.2f} s, p95 {row['p95']:.2f} s, max {row['most']:.2f} s"
    print(f"longest time until visible in InfluxDB, of each second: {spread}")
