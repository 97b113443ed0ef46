"""Everything is killed at once, who watches over it too: what was stored is archived afterwards, the rest bounded."""

from __future__ import annotations

import signal

from loadstone.archive.folder import RunFolder
from loadstone.archive.verify import verify_run
from support.processes import wait_until

BUSY = ("-u", "20", "-r", "50", "-t", "60s")


def test_a_run_whose_whole_platform_was_killed_is_recovered(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY).start()
    run.wait_for(lambda: counting_server.count().total > 600 or None)
    run.kill_everything()
    assert not run.run_folder().joinpath("run.json").exists()
    recovery = new_run(None, "latest", verb="recover")
    recovery.folder = run.folder
    assert recovery.run() == 3, recovery.output
    found, received = run.run_json(), counting_server.count().total
    assert found["verdict"] == "inconclusive"
    assert any("master" in reason for reason in found["reasons"])
    ledger = found["ledgers"]["archive"]
    assert run.rows() == found["requests"] == ledger["stored"] > 0
    assert ledger["stored"] <= received <= ledger["stored"] + ledger["unknown"]
    again = new_run(None, "latest", verb="recover")
    again.folder = run.folder
    assert again.run() == 3
    assert run.run_json() == found
    assert not verify_run(RunFolder(run.run_folder())).damaged


def test_parts_end_when_who_watches_over_them_is_killed(new_run, counting_server):
    run = new_run("mixed", "--host", counting_server.url, *BUSY).start()
    run.wait_for(lambda: counting_server.count().total > 200 or None)
    assert run.ports()
    run.send(signal.SIGKILL)
    run.finish()
    wait_until(lambda: not run.left_running(), "all parts have ended", timeout_s=30)
    assert len(run.kept_streams()) == 1
    recovery = new_run(None, verb="recover")
    recovery.folder = run.folder
    assert recovery.run() == 3, recovery.output
    ledger, received = run.run_json()["ledgers"]["archive"], counting_server.count().total
    assert ledger["stored"] <= received <= ledger["stored"] + ledger["unknown"]
    assert not run.kept_streams()
