"""Texts of people over HTTP and on the command line: what is wrong with one is said in a sentence, without the text."""

import json
from pathlib import Path

import pytest

from domain.decision import Verdict
from order_cancellation import ExitCode
from tests.fixtures.api import AGENT, SERVICE, SUPERVISOR, Api, ApiSystem
from tests.fixtures.starter import Starter, answers, run_starter
from tests.processes.asking import asked, problem
from tests.system import System
from tests.workflows.samples import an_id, captured

NOWHERE = "127.0.0.1:9"
ASKED = ("start", "O-1", "--actor", "merchant:M-1", "--reason", "cannot_ship")
RESOLVED = ("resolve", "O-1", "--actor", "refund_department:R-1", "--step", "reverse_payment", "--target", "T1")


@pytest.mark.parametrize("text", ["a\x00b", "a\u202eb", "a\ud83d", "a\x1b[2Jb", "x" * 501], ids=ascii)
async def test_over_http_a_text_is_refused_by_its_field(api: Api, text: str) -> None:
    """F17, E12: nothing is begun, and nothing of the text is in the answer or in the log."""
    order_id = an_id()
    resolved = {"step": "reverse_payment", "target": "T1", "resolution": "done_by_hand", "reference": text}
    for path, body, key in (
        ("", {"reason": "cannot_ship", "note": text}, SERVICE),
        ("/withdraw", {"note": text}, AGENT),
        ("/approve", {"note": text}, SUPERVISOR),
        ("/resolve-step", resolved, SUPERVISOR),
        ("/choose-refund-method", {"target": text, "method": "store_credit"}, SUPERVISOR),
    ):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": "req-1"}
        answer = await api.http.post(
            f"/orders/{order_id}/cancellation{path}", content=json.dumps(body).encode(), headers=headers
        )
        said = problem(answer, 422, "invalid_request")
        assert said.startswith("The request is not valid: body.")
        assert "\n" not in said
        assert text not in said
    assert text not in api.process.log.read_text()
    assert (await api.get(f"/orders/{order_id}/cancellation")).status_code == 404


async def test_over_http_a_note_of_several_lines_and_scripts_is_kept(api: Api, api_system: ApiSystem) -> None:
    """E12"""
    sample = captured(total="600.00 USD")
    await api_system.system.shop.place_order(sample)
    assert (await api.start(sample.order_id, asked(sample))).status_code == 201
    note = "Zu groß,\nשלום ☕ <b>" + "x" * 300
    assert (await api.steer(sample.order_id, "reject", {"note": f"  {note}\r\n"})).status_code == 200
    status = (await api.get(f"/orders/{sample.order_id}/cancellation")).json()
    assert [action["note"] for action in status["actions"]] == [note]


@pytest.mark.parametrize(
    "args",
    [
        (*ASKED, "--note", "a\x1b[2Jb"),
        (*ASKED, "--note", "a\udcffb"),
        (*ASKED, "--note", "x" * 501),
        ("start", "O-1\udcff", *ASKED[2:]),
        (*ASKED[:3], "merchant:\u202e", *ASKED[4:]),
        ("approve", "O-1", "--actor", "risk:R-1", "--note", "a\u202eb"),
        (*RESOLVED, "--resolution", "done_by_hand", "--reference", " "),
        (*RESOLVED, "--resolution", "done_by_hand", "--reference", "BANK\u200b1"),
        (*RESOLVED[:-1], "T\x1b1", "--resolution", "done_by_hand", "--reference", "BANK-1"),
        ("choose", "O-1", "--actor", "customer:C-1", "--tender", "T\n1", "--method", "store_credit"),
    ],
    ids=ascii,
)
async def test_the_command_line_refuses_a_text_in_a_sentence(args: tuple[str, ...]) -> None:
    """F17, E12: a terminal hands over bytes that are no text as well."""
    answer = await run_starter(NOWHERE, *args)
    assert answer.code == ExitCode.WRONG_INPUT, answer.err
    assert answer.sentence.isprintable()
    assert "unicode" not in answer.sentence


async def test_a_row_with_such_a_text_is_not_sent_and_the_others_are(
    open_system: System, starter: Starter, tmp_path: Path
) -> None:
    """E12, E14"""
    sample = captured(parcels=())
    await open_system.shop.place_order(sample)
    file = tmp_path / "orders.csv"
    file.write_text(f"order_id,note\n{sample.order_id},ok\n{an_id()},a\x1bb\nO\u20661,\n", encoding="utf-8")
    done = await starter("bulk", str(file), "--actor", "merchant:M-1", "--reason", "cannot_ship")
    first, second = done.err.splitlines()
    assert first == "Line 3 is not sent: note: it has a character that cannot be seen (U+001B); leave it out."
    assert second.startswith("Line 4 is not sent: order_id: ")
    assert done.code == ExitCode.NOT_CANCELLED
    assert [answer.verdict for answer in answers(file)] == [Verdict.APPROVED]
