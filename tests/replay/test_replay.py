"""I7: every history recorded replays on today's code, and a changed one, or a changed process, does not."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.fixtures.recording import HISTORIES, file_of, record
from tests.system import System
from worker import DEFAULT_NAMESPACE, make_replayer
from workflows.approval import Approval
from workflows.cancellation import CancellationWorkflow
from workflows.money import MoneySteps

RECORDED = sorted(HISTORIES.glob("*.json"))
TAKEN_OVER = "a_run_that_was_reset_takes_over_while_it_stops_two_parcels"
"""Of a swarm: the run whose effects it meets was of its own namespace."""
PATHS = Path(__file__).parent.parent / "workflows"


def replayer() -> Replayer:
    return make_replayer(DEFAULT_NAMESPACE)


def read(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
async def test_a_recorded_history_replays(file: Path) -> None:
    result = await replayer().replay_workflow(read(file), raise_on_replay_failure=False)
    assert result.replay_failure is None, (
        f"{file.name} does not replay: runs in flight would break. Keep their way with workflow.patched (CONTRIBUTING.md)."
    )


def test_every_path_that_is_tested_has_its_history() -> None:
    missing = []
    for module in sorted(PATHS.glob("test_*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for found in tree.body:
            if isinstance(found, ast.AsyncFunctionDef) and {"system", "bare_system", "real_time_system"} & {
                arg.arg for arg in found.args.args
            }:
                if not found.name.startswith("test_") or any("xfail" in ast.unparse(d) for d in found.decorator_list):
                    continue  # a history is kept of a test that passes
                name = file_of(found.name).stem
                if not any(file.stem == name or file.stem.startswith(f"{name}-") for file in RECORDED):
                    missing.append(found.name)
    assert not missing, f"record them with `make histories`: {missing}"


async def test_a_history_in_which_a_step_has_another_name_does_not_replay() -> None:
    text = read_text("a_captured_payment_is_refunded").replace("stop_shipment", "halt_shipment")
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(WorkflowHistory.from_json("mutated", text))


async def test_a_history_in_which_two_steps_change_places_does_not_replay() -> None:
    events = json.loads(read_text("a_captured_payment_is_refunded"))
    names = [
        event["activityTaskScheduledEventAttributes"]["activityType"]
        for event in events["events"]
        if "activityTaskScheduledEventAttributes" in event
    ]
    stop = next(name for name in names if name["name"] == "stop_shipment")
    reverse = next(name for name in names if name["name"] == "reverse_payment")
    stop["name"], reverse["name"] = reverse["name"], stop["name"]
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(WorkflowHistory.from_json("mutated", json.dumps(events)))


async def replay_recorded(name: str) -> None:
    await replayer().replay_workflow(read(file_of(name)))


async def nothing(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    "name", ["a_captured_payment_is_refunded", "a_value_above_the_limit_waits_for_a_second_person"]
)
async def test_without_a_bug_planted_they_replay(name: str) -> None:
    await replay_recorded(name)


async def test_a_process_that_skips_a_step_does_not_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug planted in today's code is caught by yesterday's history."""
    monkeypatch.setattr(MoneySteps, "credit_refund", nothing)
    with pytest.raises(NondeterminismError):
        await replay_recorded("a_captured_payment_is_refunded")


async def test_a_process_whose_steps_are_in_another_order_does_not_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    credit, close = MoneySteps.credit_refund, CancellationWorkflow.close_order

    async def close_and_credit(self: CancellationWorkflow) -> None:
        await close(self)
        await credit(self.money_steps)

    monkeypatch.setattr(MoneySteps, "credit_refund", nothing)
    monkeypatch.setattr(CancellationWorkflow, "close_order", close_and_credit)
    with pytest.raises(NondeterminismError):
        await replay_recorded("a_captured_payment_is_refunded")


async def test_a_process_that_does_not_wait_for_the_approval_does_not_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Approval, "wait_for_approval", nothing)
    with pytest.raises(NondeterminismError):
        await replay_recorded("a_value_above_the_limit_waits_for_a_second_person")


async def test_a_history_that_is_there_is_never_recorded_again(real_time_system: System) -> None:
    there = file_of("a_captured_payment_is_refunded")
    before = there.read_bytes()
    await record(real_time_system, "test_a_captured_payment_is_refunded")
    assert there.read_bytes() == before


def test_histories_say_nothing_of_the_machine_that_recorded_them() -> None:
    for file in RECORDED:
        text = file.read_text(encoding="utf-8")
        assert "site-packages" not in text, file.name
        assert "stackTrace" not in text, file.name


def test_the_command_replays_files_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    good = str(file_of("a_captured_payment_is_refunded"))
    bad = tmp_path / "mutated.json"
    bad.write_text(read_text("a_captured_payment_is_refunded").replace("stop_shipment", "halt_shipment"))

    def replay(*files: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "worker.py", "replay", *files], capture_output=True, text=True, check=False, timeout=60
        )

    passed, failed, nonsense = replay(good), replay(good, str(bad)), replay("README.md")
    assert (passed.returncode, passed.stdout) == (0, "1 replayed, 0 failed\n")
    assert failed.returncode == 1
    assert "FAILED mutated" in failed.stdout
    assert "1 replayed, 1 failed" in failed.stdout
    assert nonsense.returncode == 2
    assert "Traceback" not in nonsense.stderr


def test_a_run_that_took_over_in_its_namespace_replays() -> None:
    """The command says before a deploy whether runs in flight would break, and such a run would not."""
    file = str(file_of(TAKEN_OVER))
    passed = subprocess.run(
        [sys.executable, "worker.py", "replay", file], capture_output=True, text=True, check=False, timeout=60
    )
    assert (passed.returncode, passed.stdout) == (0, "1 replayed, 0 failed\n")


def read_text(name: str) -> str:
    return (HISTORIES / f"{name}.json").read_text(encoding="utf-8")
