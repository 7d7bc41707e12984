"""The conventions of a good command line: help, versions, widths, and failures that a program can read."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from client import views
from client.status import Source, Status
from domain.decision import Decision, Rule, Verdict
from domain.outcome import ActionRow, GoodsStatus, MoneyStatus, PaperStatus, State, Wait
from domain.request import Actor, ActorKind
from domain.step import Owner, StepName
from domain.terms import RefundMethod
from runtime.version import VERSION
from sandbox.serving import ROOT
from tests.e2e.terminal import show

NOBODY = "127.0.0.1:1"
"""Where no Temporal answers."""


def run(*args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), *args],
        env={**os.environ, "TEMPORAL_ADDRESS": NOBODY, "COLUMNS": "80", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("args", [("-h",), ("--help",), ()], ids=["-h", "--help", "no command"])
def test_help_is_given_where_it_is_looked_for(args: tuple[str, ...]) -> None:
    """P8"""
    said = run(*args)
    assert said.returncode == 0
    for command in ("start", "quote", "bulk", "status", "watch", "list", "approve", "reasons"):
        assert f"  {command} " in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80


def test_each_command_has_its_help_within_80_columns() -> None:
    """P8"""
    for command in ("start", "quote", "bulk", "status", "watch", "result", "list", "approve", "resolve", "choose"):
        said = run(command, "-h")
        assert said.returncode == 0, command
        assert max(map(len, said.stdout.splitlines())) <= 80, command


def test_the_version_is_that_of_the_package() -> None:
    """P8"""
    assert run("--version").stdout == f"order-cancellation {VERSION}\n"


@pytest.mark.parametrize("args", [("--version",), ("--help",), ("status", "O-1")], ids=" ".join)
def test_what_only_the_worker_and_the_api_need_is_not_loaded(args: tuple[str, ...]) -> None:
    said = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "starter.py"), *args],
        env={**os.environ, "TEMPORAL_ADDRESS": NOBODY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in said.stderr.splitlines()}
    assert {"client", "domain", "temporalio"} <= loaded
    ours = {"activities", "providers", "sandbox", "web", "workflows"}
    theirs = {
        "aiohttp",
        "easypost",
        "fastapi",
        "holidays",
        "jinja2",
        "pydantic_settings",
        "sqlalchemy",
        "stripe",
        "structlog",
    }
    assert not (ours | theirs) & loaded


@pytest.mark.parametrize(
    ("args", "code"),
    [(("status", "O-1", "--json"), 3), (("start", "O-1", "--json"), 2), (("status", "Jo Doe", "--json"), 2)],
    ids=["unreachable", "incomplete", "bad id"],
)
def test_a_failure_is_json_for_who_asked_for_json(args: tuple[str, ...], code: int) -> None:
    """P8: on standard error, so that standard output holds answers only."""
    said = run(*args)
    assert (said.returncode, said.stdout) == (code, "")
    error = json.loads(said.stderr)
    assert error["code"] == code
    assert error["sentence"].endswith(".")


def test_reasons_says_who_may_give_which() -> None:
    """P8"""
    said = run("reasons")
    assert said.returncode == 0
    assert "suspected_fraud" in said.stdout
    of_risk = json.loads(run("reasons", "--json").stdout)["risk"]
    assert of_risk == ["payment_declined", "suspected_fraud", "confirmed_fraud", "other"]


def test_a_full_disk_is_said_in_a_sentence_with_a_code_of_its_own() -> None:
    """M34: not 1, which says that the order was not cancelled."""
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [sys.executable, str(ROOT / "starter.py"), "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert said.returncode == 7
    assert said.stderr.count("\n") == 1
    assert "No space left on device" in said.stderr


def run_in_shell(line: str, *args: str) -> "subprocess.CompletedProcess[str]":
    """The command with its streams as the shell's `line` has them, which calls it `"$@"`."""
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", sys.executable, str(ROOT / "starter.py"), *args],
        env={**os.environ, "TEMPORAL_ADDRESS": NOBODY},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("args", [("--help",), ("reasons",)], ids=" ".join)
def test_an_answer_that_nobody_wants_to_read_has_the_code_of_one_that_cannot_be_written(args: tuple[str, ...]) -> None:
    """M34: a job whose standard output is closed."""
    said = run_in_shell('exec "$@" >&-', *args)
    assert said.returncode == 7, said.stderr
    assert said.stderr == "The answer could not be written: Bad file descriptor.\n"


def test_a_closed_standard_input_or_error_changes_no_exit_code() -> None:
    """P8"""
    assert run_in_shell('exec "$@" 2>&-', "status", "O-1").returncode == 3
    said = run_in_shell('exec "$@" <&-', "start", "--file", "-")
    assert said.returncode == 2
    assert said.stderr == "The request file - cannot be read: Bad file descriptor.\n"


@pytest.mark.parametrize("name", ["LC_ALL", "PLACE"])
def test_a_variable_of_the_environment_that_is_no_utf_8_is_left_alone(name: str) -> None:
    """P8: a locale or a path in Latin-1."""
    said = subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), "status", "O-1"],
        env={**os.environb, b"TEMPORAL_ADDRESS": NOBODY.encode(), name.encode(): b"de\xff"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 3, said.stderr
    assert said.stderr.count(b"\n") == 1


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_command_that_ends_a_wait_fits_the_terminal_and_can_be_pasted(width: int) -> None:
    """P8"""
    wait = Wait(
        state=State.NEEDS_ATTENTION,
        owner=Owner.REFUND_DEPARTMENT,
        reason="The card is closed.",
        due_at=datetime(2026, 12, 1, tzinfo=UTC),
        step=StepName.REVERSE_PAYMENT,
        target="T'1",
        choices=(RefundMethod.STORE_CREDIT, RefundMethod.BANK_TRANSFER),
    )
    now = Status(
        cancellation_id="can-O-1-0",
        order_id="O-1",
        state=State.NEEDS_ATTENTION,
        goods=GoodsStatus.UNTOUCHED,
        money=MoneyStatus.WAITING,
        paper=PaperStatus.UNTOUCHED,
        waits=(wait,),
        source=Source.RUN,
    )
    out = io.StringIO()
    Console(file=out, width=width).print(views.progress_view(now))
    shown = out.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    commands = [shlex.split(line) for line in shown.replace("\\\n", " ").splitlines() if "order-cancellation" in line]
    to = ["O-1", "--actor", "KIND:ID"]
    step = ["--step", "reverse_payment", "--target", "T'1"]
    assert commands == [
        ["order-cancellation", "retry", *to, *step],
        ["order-cancellation", "resolve", *to, *step, "--resolution", "RESOLUTION", "--reference", "TEXT"],
        ["order-cancellation", "choose", *to, "--tender", "T'1", "--method", "store_credit"],
        ["order-cancellation", "choose", *to, "--tender", "T'1", "--method", "bank_transfer"],
    ]


def seen_by(*actions: ActionRow, state: State) -> str:
    """The status of a cancellation that needed an approval, while nothing waits."""
    sentence = "640.00 USD is above the limit. A second person has to approve."
    now = Status(
        cancellation_id="can-O-1-0",
        order_id="O-1",
        state=state,
        goods=GoodsStatus.UNTOUCHED,
        money=MoneyStatus.UNTOUCHED,
        paper=PaperStatus.UNTOUCHED,
        decision=Decision(
            verdict=Verdict.NEEDS_APPROVAL, rule=Rule.ABOVE_LIMIT, policy_version="2026-12", sentence=sentence
        ),
        actions=actions,
        source=Source.RUN,
    )
    out = io.StringIO()
    Console(file=out, width=200).print(views.progress_view(now))
    return out.getvalue()


def test_an_approval_is_asked_for_until_somebody_has_answered() -> None:
    """A system that does not answer afterwards leaves the run without a wait, and nobody has to approve any more."""
    asked = "A second person has to approve."
    approved = ActionRow(
        action="approved",
        actor=Actor(kind=ActorKind.REFUND_DEPARTMENT, id="S-1"),
        note="",
        at=datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert asked in seen_by(state=State.RUNNING)
    assert asked not in seen_by(approved, state=State.RUNNING)
    assert "approved · refund_department:S-1" in seen_by(approved, state=State.RUNNING)
    assert asked not in seen_by(state=State.ROLLING_BACK)


def test_the_help_of_make_is_aligned_and_fits_80_columns() -> None:
    said = subprocess.run(
        ["make", "--no-print-directory", "help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"MAKELEVEL": "1"},
    ).stdout.splitlines()
    assert len(said) > 15
    assert max(map(len, said)) <= 80
    assert {len(name) + len(blanks) for name, blanks in re.findall(r"^(\S+)( +)", "\n".join(said), re.MULTILINE)} == {
        20
    }


@pytest.mark.parametrize("goal", [["up", "OMS=vendure"], ["test-integrations"], ["test-dashboard"]], ids=" ".join)
def test_what_needs_node_says_so_before_anything_else_is_done(goal: list[str], tmp_path: Path) -> None:
    for tool in ("bash", "make", "sh"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    made = subprocess.run(
        ["make", "--silent", *goal], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert made.stdout == "Node.js 20 or newer is needed, with npm; install it and try again.\n"


def test_a_refusal_in_a_terminal_has_its_command_in_a_line_of_its_own() -> None:
    """Broken between words the sentence is easy to read, and the command could not be copied."""
    code = (
        "from client.commands.options import print_error; from client.program import own_command\n"
        "print_error('There is no cancellation of order 9999, whatever you look for; start one with: '"
        " + own_command('start', '9999', '--actor', 'KIND:ID', '--reason', 'REASON'))"
    )
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    environment.pop("COLUMNS", None)
    shown = show([sys.executable, "-c", code], 60, environment)
    assert [line for line in shown.splitlines() if line] == [
        "There is no cancellation of order 9999, whatever you look",
        "for; start one with:",
        "order-cancellation start 9999 --actor KIND:ID --reason REASON",
    ]
