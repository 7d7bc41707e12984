"""What the gateway's no means for people: each kind has its own owner, and the customer reads of their card only."""

from datetime import timedelta

import pytest

from domain.money import money
from domain.outcome import MoneyStatus, Outcome
from domain.step import Owner, StepName
from domain.terms import RefundMethod
from providers.outbox.port import NoticeKind
from sandbox import books
from sandbox.gateway.messages import EffectKind
from sandbox.marketplace.model import FaultKind, Operation
from sandbox.shop import request
from tests.system import System, customer_of, resolve
from tests.workflows.samples import captured
from tests.workflows.test_sales_elsewhere import sold_there
from tests.workflows.test_settled_by_hand import PRICE


@pytest.mark.parametrize(
    ("word", "owner", "says"),
    [
        ("refund_disputed_payment", Owner.REFUND_DEPARTMENT, "disputes"),
        ("charge_not_refundable", Owner.REFUND_DEPARTMENT, "disputes"),
        ("balance_insufficient", Owner.REFUND_DEPARTMENT, "balance"),
        ("livemode_mismatch", Owner.OPERATIONS, "livemode_mismatch"),
        ("parameter_missing", Owner.OPERATIONS, "parameter_missing"),
        ("api_key_expired", Owner.OPERATIONS, "API key"),
        ("amount_too_small", Owner.REFUND_DEPARTMENT, "64.00 USD"),
        ("no_code", Owner.REFUND_DEPARTMENT, "no reason"),
        ("no_code_but_amount", Owner.REFUND_DEPARTMENT, "64.00 USD"),
        ("charge_already_refunded", Owner.REFUND_DEPARTMENT, "64.00 USD"),
    ],
)
async def test_a_no_that_is_not_the_cards_is_no_matter_of_the_customers(
    system: System, word: str, owner: Owner, says: str
) -> None:
    """E6, F10a, F10b, F10c: seen at once by its own owner, and the customer has nothing to choose and no letter."""
    sample = captured(parcels=(), fault=f"refund.create:refuse={word}*99")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert (wait.owner, wait.choices) == (owner, ())
    assert says in wait.reason
    assert await system.refusal(system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT))
    assert NoticeKind.REFUND_FAILED not in {notice.kind for notice in await books.notices(system.engine)}
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-1"))
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.BY_HAND)
    assert await system.refunds(sample.order_id) == []
    await system.assert_books_balance()


async def test_the_customers_card_is_the_customers_matter(system: System) -> None:
    """E6: they are written to once, and may have the money another way."""
    sample = captured(parcels=(), fault="refund.create:refuse=expired_card")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert wait.choices
    assert [notice.kind for notice in await books.notices(system.engine)].count(NoticeKind.REFUND_FAILED) == 1
    await system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT)
    assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    assert await system.store_credit(sample.customer_id) == PRICE


@pytest.mark.parametrize("word", ["balance_insufficient", "livemode_mismatch", "api_key_expired"])
async def test_what_is_ours_to_put_right_is_tried_again_under_the_same_key_without_a_click(
    system: System, word: str
) -> None:
    """F10b: the balance is topped up, or the setting corrected, while the run waits."""
    sample = captured(parcels=(), fault=f"refund.create:refuse={word}*2")
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    assert await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    await system.skip(timedelta(hours=1))
    result = await system.finish(handle)
    assert (result.outcome, result.money) == (Outcome.CANCELLED, MoneyStatus.REFUNDED)
    payment = system.shop.payments[sample.order_id][0]
    [made] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    assert made.metadata["cancellation_key"] == f"{result.cancellation_id}/reverse_payment/T1/1"
    await system.assert_books_balance()


async def test_a_marketplace_that_refuses_leaves_the_customer_nothing_to_choose(system: System) -> None:
    """E6, A13: the marketplace has the buyer's money; store credit besides would be the merchant's own."""
    sample = sold_there()
    await system.shop.place_order(sample)
    assert system.shop.marketplace is not None
    await system.shop.marketplace.add_fault(Operation.ORDERS_CANCEL, FaultKind.REFUSE, order_id=f"M-{sample.order_id}")
    await system.shop.marketplace.add_fault(Operation.ORDERS_REFUND, FaultKind.REFUSE, order_id=f"M-{sample.order_id}")
    _, handle = await system.submit(request(sample))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    assert (wait.owner, wait.choices) == (Owner.REFUND_DEPARTMENT, ())
    assert await system.refusal(system.choose(handle, customer_of(sample), RefundMethod.STORE_CREDIT))
    assert await system.store_credit(sample.customer_id) == money("0.00 USD")
