"""The full run leaves nothing behind, however it ends; and a tenth of it is a part of all of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.serving import ROOT
from tests.faults.full import FULL, Harness, choose_parts
from tests.faults.offspring import CRASHED
from tests.faults.results import Draw
from tests.faults.stage import is_alive
from tests.system import eventually

_LEFT = (
    "import subprocess, sys; left = subprocess.Popen(['sleep', '600'], start_new_session=True); "
    "print(left.pid, flush=True); "
)
"""A process of a session of its own, which nobody ends."""


_ASKING = (
    "import os, subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:3], str(os.getpid()), *sys.argv[3:]])"
)
"""What starts the same, and does nothing else."""


def _start(tmp_path: Path, then: str, *, by_another: bool = False) -> tuple["subprocess.Popen[str]", int]:
    """What is left in this way has this process id."""
    (tmp_path / "leaving.py").write_text(f"{_LEFT}{then}\n", encoding="utf-8")
    keeping = ("-m", "tests.faults.offspring")
    started = subprocess.Popen(
        [sys.executable, *(("-c", _ASKING, *keeping) if by_another else (*keeping, f"{os.getpid()}")), "leaving"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    return started, int(started.stdout.readline())


@pytest.mark.parametrize(("then", "code"), [("", 0), ("sys.exit(1)", 1), ("raise ValueError", CRASHED)])
def test_what_a_harness_leaves_running_is_ended(tmp_path: Path, then: str, code: int) -> None:
    keeper, left = _start(tmp_path, then)
    with keeper:
        assert keeper.wait(60) == code
    assert not is_alive(left)


def test_what_a_harness_has_started_is_ended_when_it_is_stopped(tmp_path: Path) -> None:
    keeper, left = _start(tmp_path, "left.wait()")
    with keeper:
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(60) == CRASHED
    assert not is_alive(left)


async def test_nothing_goes_on_when_the_full_run_is_killed(tmp_path: Path) -> None:
    """It cannot end what it has started then."""
    killed, left = _start(tmp_path, "left.wait()", by_another=True)
    with killed:
        killed.kill()

    async def has_ended() -> bool:
        return not is_alive(left)

    await eventually(has_ended, "nothing goes on", within=60)


def test_the_full_run_has_every_harness_and_what_a_share_of_it_has() -> None:
    assert {part.harness for part in FULL} == set(Harness)
    arguments = {str(part): part.arguments(Path("results"), 10) for part in FULL}
    assert arguments["swarm postgresql seed 3"][2:] == ["--database", "postgresql", "--seed", "3", "--orders", "200"]
    assert arguments["outage"][2:] == ["--runs", "200", "--minutes", "6"]
    assert arguments["sweep sqlite"][2:] == ["--database", "sqlite", "--share", "10"]


def test_what_is_on_one_database_runs_one_after_the_other() -> None:
    lanes = {part.lane for part in FULL if part.harness is Harness.SWARM}
    assert lanes == {"sqlite", "postgresql"}
    assert {part.lane for part in FULL} == lanes | {"waiting"}


def test_a_short_run_has_every_harness_too() -> None:
    assert {part.harness for part, _ in choose_parts(list(Harness), None)} == set(Harness)
    assert {share for _, share in choose_parts([Harness.SWARM], 10)} == {10}


def test_a_tenth_of_the_cases_is_a_part_of_a_half() -> None:
    cases = range(1_000)
    tenth, half = Draw(share=10).of(cases), Draw(share=2).of(cases)
    assert set(tenth) < set(half)
    assert 50 < len(tenth) < 150
