"""The command line in the language of whoever types."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from client import views
from client.errors import ExitCode, unreachable
from client.status import Source, Status
from domain.decision import Decision, Rule, Verdict
from domain.money import money
from domain.outcome import CancellationResult, GoodsStatus, MoneyStatus, Outcome, PaperStatus, State, Wait
from domain.step import Owner, StepName, StepRow, StepStatus
from runtime.texts import SOURCE, use_language
from sandbox.serving import ROOT
from tests.test_command_line import NOBODY

GERMAN = {"LANGUAGE": "", "LC_ALL": "", "LC_MESSAGES": "", "LANG": "de_DE.UTF-8"}
AT = datetime(2026, 3, 1, 23, 59, 7, tzinfo=UTC)
SENTENCE = "640.00 USD is above the limit that one person may decide on. A second person has to approve."
"""Of the process, as it was recorded."""


def run(*args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return run_python("starter.py", *args, **env)


def run_python(*args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *args],
        env={**os.environ, "TEMPORAL_ADDRESS": NOBODY, "COLUMNS": "80", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )


@pytest.fixture
def german() -> Iterator[None]:
    use_language("de")
    yield
    use_language(SOURCE)


def shown(view: RenderableType) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as text:
        console.print(view)
    return text.get()


# Help and refusals


def test_help_is_german_for_who_reads_german() -> None:
    said = run("--help", **GERMAN).stdout
    assert "Aufruf: starter.py [OPTIONS]" in said
    assert "Die Anfrage zurücknehmen." in said
    assert "\n    5  abgelehnt: die Stornierung lässt das jetzt nicht zu oder ist\n" in said
    assert not [word for word in ("Usage:", "Options:", "Commands:", "Show ", "Exit codes") if word in said]
    assert all(len(line) <= 80 for line in said.splitlines())
    of_start = run("start", "-h", **GERMAN).stdout
    assert "Wer anfragt, zum Beispiel customer:C-1." in of_start
    assert "[Vorgabe: 30.0; x>=0.1]" in of_start
    assert "mehrfach möglich" in of_start


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (("approve", "O-1"), ExitCode.WRONG_INPUT, "Die Option '--actor' fehlt."),
        (("nothing",), ExitCode.WRONG_INPUT, "Den Befehl 'nothing' gibt es nicht."),
        (("statsu",), ExitCode.WRONG_INPUT, "Den Befehl 'statsu' gibt es nicht. Meinten Sie 'status', 'start'?"),
        (
            ("resolve", "O-1", "--actor", "risk:R-1"),
            ExitCode.WRONG_INPUT,
            "Die Option '--resolution' fehlt. Wählen Sie aus: done_by_hand, nothing_due, roll_back",
        ),
        (
            ("start", "--file", "nowhere.json"),
            ExitCode.WRONG_INPUT,
            "Die Anfragedatei nowhere.json lässt sich nicht lesen: d",
        ),
        (
            ("start", "--file", "Makefile"),
            ExitCode.WRONG_INPUT,
            "Die Anfragedatei ist nicht gültig: das ist kein JSON (Zeile 1, Spalte 1).",
        ),
        (("status", "O 1"), ExitCode.WRONG_INPUT, "Ungültiger Wert für 'ORDER_ID': eine ID hat 1 bis 64 Buchstaben"),
        (("start", "O-1"), ExitCode.WRONG_INPUT, "Es fehlt: --actor, --reason. Oder"),
        (
            ("approve", "O-1", "--actor", "risk:R-1", "--note", "x" * 501),
            ExitCode.WRONG_INPUT,
            "Die Genehmigung ist nicht gültig: note: höchstens 500 Zeichen",
        ),
        (("status", "O-1"), ExitCode.UNREACHABLE, f"Temporal antwortet unter {NOBODY} nicht."),
    ],
    ids=["option", "command", "similar command", "choices", "file", "json", "id", "needed", "note", "unreachable"],
)
def test_what_is_refused_is_said_in_german(args: tuple[str, ...], code: ExitCode, sentence: str) -> None:
    said = run(*args, **GERMAN)
    assert said.returncode == code
    assert said.stderr.startswith(sentence)
    assert said.stdout == ""


def test_a_bulk_file_that_is_wrong_is_refused_in_german(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("order_id;wrong\n1;2\n", encoding="utf-8")
    said = run("bulk", str(file), "--actor", "risk:R-1", "--reason", "other", **GERMAN)
    assert said.stderr.startswith('Zeile 1 nennt die Spalte "wrong", die nicht bekannt ist. Die erste Zeile')


@pytest.mark.parametrize("args", [("status", "O-1"), ("approve", "O-1"), ("nothing",), ("reasons",)])
def test_what_a_program_reads_is_the_same_in_every_language(args: tuple[str, ...]) -> None:
    german, english = run(*args, "--json", **GERMAN), run(*args, "--json")
    assert (german.returncode, german.stdout, german.stderr) == (english.returncode, english.stdout, english.stderr)
    json.loads(german.stdout or german.stderr)


def test_c_is_english_whatever_the_list_of_languages_says() -> None:
    assert run("approve", "O-1", LC_ALL="C", LANGUAGE="de").stderr == "Missing option '--actor'.\n"


def test_the_library_speaks_english_in_a_german_environment() -> None:
    """A server's or a service's environment is not its reader's."""
    code = "from client.errors import unreachable; print(unreachable('there').sentence)"
    assert run_python("-c", code, **GERMAN).stdout == f"{unreachable('there').sentence}\n"


# What is shown


@pytest.mark.usefixtures("german")
def test_a_status_is_german_but_for_what_the_process_has_recorded() -> None:
    decision = Decision(
        verdict=Verdict.NEEDS_APPROVAL, rule=Rule.ABOVE_LIMIT, policy_version="2026-12", sentence=SENTENCE
    )
    waiting = Wait(state=State.WAITING_FOR_APPROVAL, owner=Owner.SECOND_PERSON, reason=SENTENCE, due_at=AT)
    held = StepRow(step=StepName.VERIFY_ORDER, target="O-1", status=StepStatus.DONE, started_at=AT, ended_at=AT)
    status = Status(
        cancellation_id="can-O-1-abc",
        order_id="O-1",
        state=State.WAITING_FOR_APPROVAL,
        goods=GoodsStatus.UNTOUCHED,
        money=MoneyStatus.UNTOUCHED,
        paper=PaperStatus.UNTOUCHED,
        decision=decision,
        waits=(waiting,),
        steps=(held,),
        source=Source.RUN,
    )
    said = shown(views.progress_view(status))
    assert "Bestellung O-1  wartet auf Genehmigung  Ware unberührt · Geld unberührt · Beleg unberührt" in said
    assert f"wartet auf zweite Person, fällig 2026-03-01 23:59:07 UTC: {SENTENCE[:20]}" in said
    assert "order-cancellation approve O-1 --actor KIND:ID" in said
    assert "was geschah" in said
    assert "Bestellung prüfen O-1 · erledigt" in said


@pytest.mark.usefixtures("german")
def test_a_result_is_german_but_for_its_sentence() -> None:
    result = CancellationResult(
        cancellation_id="can-O-1-abc",
        order_id="O-1",
        outcome=Outcome.CANCELLED,
        sentence="Order O-1 is cancelled as requested.",
        decision=None,
        goods=GoodsStatus.NEVER_HANDED_OVER,
        money=MoneyStatus.REFUNDED,
        paper=PaperStatus.CREDITED,
        refunded=money("64.00 USD"),
        credit_note="CN-1",
    )
    said = shown(views.result_view(result))
    assert "Bestellung O-1  storniert  Ware nie übergeben · Geld erstattet · Beleg gutgeschrieben" in said
    assert "Order O-1 is cancelled as requested." in said
    assert "64.00 USD erstattet, Gutschrift CN-1" in said


# What is loaded


@pytest.mark.parametrize("args", [("--version",), ("status", "O-1"), ("--help",)])
def test_who_reads_english_loads_no_babel_and_no_templates(args: tuple[str, ...]) -> None:
    loaded = run_python("-X", "importtime", "starter.py", *args).stderr
    assert "runtime.texts" in loaded
    assert not [line for line in loaded.splitlines() if line.rpartition("|")[2].strip().startswith(("babel", "jinja2"))]
