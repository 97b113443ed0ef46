"""How busy the CPUs of a machine are, from its files."""

import pytest

from loadstone.host.cpu import HostCpu, HostShares

MS = 1_000_000


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "pressure").mkdir()
    return tmp_path


def write(proc, stat, waited_us):
    (proc / "stat").write_text(f"cpu  {stat} 0 0\ncpu0 1 2 3\n")
    (proc / "pressure" / "cpu").write_text(f"some avg10=1.0 avg60=0.0 avg300=0.0 total={waited_us}\nfull total=0\n")


def test_busy_stolen_and_waiting_are_of_the_time_since_the_reading_before(proc):
    times = iter([0, 500 * MS, 1000 * MS])
    write(proc, "100 0 100 800 0 0 0 0", 1000)
    cpu = HostCpu(proc, lambda: next(times))
    write(proc, "130 10 120 810 5 3 2 20", 401_000)  # 100 ticks: 65 busy, 20 stolen, 15 idle or waiting for disks
    assert cpu.read() == HostShares(busy_pct=65.0, stolen_pct=20.0, waiting_pct=80.0)
    assert cpu.read() == HostShares(busy_pct=None, stolen_pct=None, waiting_pct=0.0)


def test_a_machine_that_does_not_tell_has_no_shares(proc):
    times = iter([0, 500 * MS])
    cpu = HostCpu(proc / "nowhere", lambda: next(times))
    assert cpu.read() == HostShares()


def test_this_machine_is_busy_while_this_process_computes():
    cpu = HostCpu()
    sum(number * number for number in range(3_000_000))
    shares = cpu.read()
    assert shares.busy_pct is None or shares.busy_pct > 0
