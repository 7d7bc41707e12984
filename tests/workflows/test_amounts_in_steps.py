"""Currencies whose smallest amounts the gateway does not take: it is sent what it takes, and the sum is exact."""

import pytest

from domain.decision import Verdict
from domain.money import Money, money
from domain.outcome import MoneyStatus, Outcome
from domain.request import LineScope
from sandbox import books
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System
from tests.workflows.samples import an_id


def three_of(total: str, tax: str) -> SampleOrder:
    return SampleOrder(order_id=an_id(), lines=(line("L1", 3, total, tax),), tenders=(card(total),))


async def cancel_one(system: System, sample: SampleOrder, n: int) -> None:
    asked = request(sample, LineScope(line_id="L1", quantity=1), request_id=f"req-{sample.order_id}-{n}")
    decided, handle = await system.submit(asked)
    plan = decided.plan
    assert plan is not None
    more, sentence = plan.rounding, decided.decision.sentence
    assert (f"{more} more" in sentence) is (more.amount > 0)
    assert (f"{-more} less" in sentence) is (more.amount < 0)
    if decided.decision.verdict is Verdict.NEEDS_APPROVAL:  # the policy has no limit for this currency
        await system.approve(handle)
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)


@pytest.mark.parametrize(
    ("total", "tax", "thirds"),
    [
        ("10.000 KWD", "0.909 KWD", ("3.340 KWD", "3.330 KWD", "3.330 KWD")),
        ("0.100 TND", "0.016 TND", ("0.040 TND", "0.030 TND", "0.030 TND")),
        ("100.00 MGA", "16.67 MGA", ("34.00 MGA", "33.00 MGA", "33.00 MGA")),
        ("100 JPY", "9 JPY", ("33 JPY", "33 JPY", "34 JPY")),
        ("100 ISK", "19 ISK", ("33 ISK", "33 ISK", "34 ISK")),
    ],
    ids=("KWD", "TND", "MGA", "JPY", "ISK"),
)
async def test_thirds_go_back_as_the_gateway_takes_them_and_the_sum_is_exact(
    system: System, total: str, tax: str, thirds: tuple[str, ...]
) -> None:
    """E9, F10c: at Stripe the last digit of three decimals is 0, and MGA has no decimals; the customer is never short. The
    credit notes have all of the tax."""
    sample = three_of(total, tax)
    await system.shop.place_order(sample)
    for n in range(3):
        await cancel_one(system, sample, n)
    payment = await system.gateway.read_payment(system.shop.payments[sample.order_id][0])
    given = [refund.amount for refund in sorted(payment.refunds, key=lambda refund: refund.key or "")]
    assert sorted(map(str, given)) == sorted(thirds)
    assert payment.refunded == money(total)
    notes = await books.documents(system.engine)
    assert Money.total((note.tax for note in notes), sample.currency) == money(tax)
    documents = [note.total for note in notes]
    assert sorted(map(str, documents)) == sorted(thirds)
    assert Money.total(documents, sample.currency) == money(total)
    assert await system.payable() == 0
    await system.assert_books_balance()
