"""What the demo shows on a terminal of 80 columns and 24 lines, and on a wide one: all of it, and no word broken."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from client.status import Source, Status
from domain.money import Money, money
from domain.outcome import CancellationResult, GoodsStatus, MoneyStatus, PaperStatus, State
from domain.step import StepName, StepRow, StepStatus
from runtime.texts import words_of
from sandbox.board import Board, closing_table, proof_view
from sandbox.proof import Balance, Proof
from sandbox.samples import SAMPLES, Sample

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
STEPS = (StepName.VERIFY_ORDER, StepName.STOP_SHIPMENT, StepName.REVERSE_PAYMENT)
CREDIT_NOTE = "CN-000016"


def result_of(sample: Sample) -> CancellationResult:
    expected = sample.expected
    return CancellationResult(
        cancellation_id=f"can-{sample.order_id}-1",
        order_id=sample.order_id,
        sentence="It has ended.",
        decision=None,
        credit_note=CREDIT_NOTE if expected.paper is PaperStatus.CREDITED else None,
        **dict(expected),
    )


def status_of(sample: Sample, last: StepStatus) -> Status:
    steps = [
        StepRow(
            step=step,
            target="T1",
            status=last if step is STEPS[-1] else StepStatus.DONE,
            started_at=NOW + timedelta(seconds=number),
        )
        for number, step in enumerate(STEPS)
    ]
    return Status(
        cancellation_id=f"can-{sample.order_id}-1",
        order_id=sample.order_id,
        state=State.WAITING_FOR_SETTLEMENT,
        goods=GoodsStatus.NEVER_HANDED_OVER,
        money=MoneyStatus.REFUND_PENDING,
        paper=PaperStatus.UNTOUCHED,
        past_pivot=True,
        steps=tuple(steps),
        source=Source.RUN,
    )


def balance(currency: str, amount: str) -> Balance:
    figures = dict.fromkeys(Balance.model_fields.keys() - {"currency"}, money(f"{amount} {currency}"))
    return Balance(currency=currency, **figures)


PROOF = Proof(
    balances=(balance("USD", "11250.42"), balance("KWD", "1012.340"), balance("JPY", "99899")),
    effects={"gateway refund": 31, "carrier void": 8, "marketplace refund": 1, "merchant close": 25},
    repeated=(),
    mails={sample.order_id: 14 for sample in SAMPLES},
    unsent=(),
)


def screen(width: int) -> Console:
    return Console(file=StringIO(), width=width, height=24, force_terminal=True, color_system=None, highlight=False)


def lines_of(console: Console, shown: RenderableType) -> list[str]:
    with console.capture() as capture:
        console.print(shown)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_the_closing_table_has_all_of_each_order(width: int) -> None:
    results = {sample.order_id: result_of(sample) for sample in SAMPLES}
    lines = lines_of(screen(width), closing_table(SAMPLES, results, PROOF, width))
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for sample in SAMPLES:
        of_order = text.partition(f"\n{sample.order_id} ")[2].partition("\n1")[0]
        expected = sample.expected
        wanted = [sample.title, words_of(expected.outcome), words_of(expected.goods), "14"]
        wanted.append(CREDIT_NOTE if expected.paper is PaperStatus.CREDITED else words_of(expected.paper))
        wanted += [f"refunded {expected.refunded}"] if expected.refunded else []
        wanted += [f"released {expected.released}"] if expected.released else []
        assert not [part for part in wanted if part not in of_order], of_order


@pytest.mark.parametrize("width", [80, 120])
def test_an_order_that_ended_otherwise_says_what_was_expected(width: int) -> None:
    sample = SAMPLES[0]
    result = result_of(sample).model_copy(update={"goods": GoodsStatus.NOT_STOPPED, "released": Money.zero("USD")})
    lines = lines_of(screen(width), closing_table(SAMPLES[:1], {sample.order_id: result}, PROOF, width))
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "✗" in text
    assert all(word in text for word in f"not stopped (expected: {words_of(sample.expected.goods)})".split())


@pytest.mark.parametrize("width", [80, 120])
def test_the_proof_has_every_figure(width: int) -> None:
    lines = lines_of(screen(width), proof_view(PROOF))
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]
    for currency, figure in (("USD", "11250.42"), ("KWD", "1012.340"), ("JPY", "99899")):
        [row] = [line for line in lines if f" {currency} " in line]
        assert row.split().count(figure) == 8
    heads = " ".join(" ".join(lines).split())
    assert all(
        word in heads for word in ("gateway", "others", "ledger", "sold", "put", "hand", "credit", "notes", "owed")
    )


@pytest.mark.parametrize("ended", [0, 3, 12, 23])
def test_while_it_runs_a_screen_of_80_columns_has_one_line_for_an_order(ended: int) -> None:
    console = screen(80)
    board = Board(SAMPLES, console)
    for number, sample in enumerate(SAMPLES):
        board.show(sample, result_of(sample) if number < ended else status_of(sample, StepStatus.WAITING))
    for _ in range(6):
        board.add_remark(
            "refund_department:supervisor-2 resolves order 1008: the bank has paid, dp_73204f38ae2aebb026497572"
        )
    lines = lines_of(console, board)
    assert max(map(len, lines)) <= 80
    assert len(lines) < 24
    orders = [line.split()[0] for line in lines if line[:4].isdigit()]
    hidden = len(SAMPLES) - len(orders)
    assert f"and {hidden} more" in lines
    under_way = [sample.order_id for sample in SAMPLES[ended:]]
    assert {*under_way} <= {*orders} or {*orders} <= {*under_way}, "those that have ended make room first"
    assert sum("✓✓…reverse T1" in line for line in lines) == len({*under_way} & {*orders})


def test_a_wide_screen_names_every_step() -> None:
    console = screen(120)
    board = Board(SAMPLES, console)
    board.show(SAMPLES[0], status_of(SAMPLES[0], StepStatus.RUNNING))
    assert any("✓verify ✓stop T1 ▶reverse T1" in line for line in lines_of(console, board))
