"""Orders that are not only goods against a card: sold on a marketplace, or gift cards that the customer bought."""

from datetime import timedelta

from domain.decision import Rule
from domain.facts import EffectNoted
from domain.money import money
from domain.order import TenderKind
from domain.outcome import GoodsStatus, MoneyStatus, Outcome, State
from domain.plan import LeftOutReason
from domain.request import Actor, ActorKind, CancellationRequest, Channel, LineScope, ReasonCode
from domain.step import StepName
from sandbox import books, built_in
from sandbox.marketplace.model import Actor as Seller
from sandbox.marketplace.model import FaultKind, Operation, SoldLine
from sandbox.shop import SampleOrder, SampleTender, card, line, request
from tests.observing import eventually
from tests.system import System, resolve, settled
from tests.workflows.samples import an_id, bought_gift_card


def sold_there(*, quantity: int = 1) -> SampleOrder:
    """64.00 is the seller's share; the buyer paid 9.60 of commission on top."""
    order_id = an_id()
    sold = line(f"{order_id}-L1", quantity, "64.00 USD").model_copy(update={"commission": money("9.60 USD")})
    return SampleOrder(
        order_id=order_id,
        lines=(sold,),
        tenders=(SampleTender(kind=TenderKind.MARKETPLACE, amount=money("64.00 USD")),),
    )


def by_the_marketplace(sample: SampleOrder, *, request_id: str = "market-1") -> CancellationRequest:
    return CancellationRequest(
        request_id=request_id,
        order_id=sample.order_id,
        actor=Actor(kind=ActorKind.SYSTEM, id="marketplace-connector"),
        channel=Channel.MARKETPLACE,
        reason=ReasonCode.MARKETPLACE_CANCELLED,
    )


async def cancelled_there(system: System, sample: SampleOrder, *, by: Seller = Seller.SELLER) -> list[int]:
    """The units of each cancellation at the marketplace."""
    assert system.shop.marketplace is not None
    effects = await system.shop.marketplace.effects(f"M-{sample.order_id}")
    return [effect.quantity for effect in effects if effect.by is by and effect.kind != "line.refunded"]


# Marketplace


async def test_a_marketplace_order_is_cancelled_there_and_never_refunded_here(system: System) -> None:
    """A13: their refund is recorded, and finished when they have made it; the seller's share only."""
    sample = sold_there()
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    progress = await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    assert progress.money is MoneyStatus.REFUND_PENDING
    assert await cancelled_there(system, sample) == [1]
    assert system.shop.marketplace is not None
    await system.shop.marketplace.settle(f"M-{sample.order_id}")
    await system.wake(handle)
    result = await system.end(handle)
    assert (result.outcome, result.money, result.refunded) == (
        Outcome.CANCELLED,
        MoneyStatus.REFUNDED,
        money("64.00 USD"),
    )
    assert await system.refunds(sample.order_id) == []
    settled = [transfer for transfer in await books.ledger(system.engine) if transfer.debit == "refunds_payable"]
    assert [(transfer.credit, transfer.amount) for transfer in settled] == [
        ("marketplace_clearing", money("64.00 USD"))
    ]
    await system.assert_books_balance()


async def test_an_order_that_the_marketplace_has_cancelled_is_not_cancelled_there_again(system: System) -> None:
    """A13: its connector asks, and what it did is taken over."""
    sample = sold_there()
    await system.shop.place_order(sample)
    assert system.shop.marketplace is not None
    await system.shop.marketplace.withdraw(f"M-{sample.order_id}", f"{sample.order_id}-L1", 1)
    await system.shop.marketplace.settle(f"M-{sample.order_id}")
    result = await system.cancel(by_the_marketplace(sample))
    assert result.outcome is Outcome.CANCELLED
    assert await cancelled_there(system, sample) == []
    assert (await system.read_order(sample.order_id)).lines[0].remaining == 0


async def test_a_lost_answer_of_the_marketplace_is_looked_up(system: System) -> None:
    """A13, B18: cancelled there once."""
    sample = sold_there()
    await system.shop.place_order(sample)
    assert system.shop.marketplace is not None
    await system.shop.marketplace.add_fault(
        Operation.ORDERS_REFUND, FaultKind.DROP_AFTER_COMMIT, order_id=f"M-{sample.order_id}"
    )
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.marketplace.settle(f"M-{sample.order_id}")
    await system.wake(handle)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED
    assert await cancelled_there(system, sample) == [1]


async def test_a_part_of_a_marketplace_order_is_cancelled_there_and_later_the_rest(system: System) -> None:
    """A13: each unit once, each with its part of the seller's share."""
    sample = sold_there(quantity=2)
    await system.shop.place_order(sample)
    assert system.shop.marketplace is not None
    refunded = []
    for n, scope in enumerate(((LineScope(line_id=f"{sample.order_id}-L1", quantity=1),), ()), start=1):
        _, handle = await system.submit(request(sample, *scope, request_id=f"part-{n}"))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        await system.shop.marketplace.settle(f"M-{sample.order_id}")
        await system.wake(handle)
        refunded.append((await system.end(handle)).refunded)
    assert refunded == [money("32.00 USD"), money("32.00 USD")]
    assert await cancelled_there(system, sample) == [1, 1]
    await system.assert_books_balance()


async def test_a_part_and_then_the_rest_where_the_marketplace_takes_what_is_cancelled_off_the_line(
    system: System,
) -> None:
    """F15, E11: by what such a line shows, its second unit would seem cancelled too."""
    sample = sold_there(quantity=2)
    await system.shop.place_order(sample)
    assert system.shop.marketplace is not None
    sold = SoldLine(id=f"{sample.order_id}-L1", quantity=2, price=6400)
    await system.shop.marketplace.sell(f"M-{sample.order_id}", [sold], currency="USD", takes_off=True)
    refunded = []
    for n, scope in enumerate(((LineScope(line_id=f"{sample.order_id}-L1", quantity=1),), ()), start=1):
        _, handle = await system.submit(request(sample, *scope, request_id=f"part-{n}"))
        await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
        await system.shop.marketplace.settle(f"M-{sample.order_id}")
        await system.wake(handle)
        refunded.append((await system.end(handle)).refunded)
    assert refunded == [money("32.00 USD"), money("32.00 USD")]
    assert await cancelled_there(system, sample) == [1, 1]
    await system.assert_books_balance()


async def test_a_unit_that_the_marketplace_gave_back_without_a_quantity_is_not_given_back_again(system: System) -> None:
    """F15, E11: an operator's refund, whose quantity is informative only."""
    sample = sold_there(quantity=2)
    await system.shop.place_order(sample)
    assert system.shop.marketplace is not None
    sale, line_id = f"M-{sample.order_id}", f"{sample.order_id}-L1"
    await system.shop.marketplace.withdraw(sale, line_id, 1, reports_quantity=False)
    _, handle = await system.submit(request(sample, LineScope(line_id=line_id, quantity=1)))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    await system.shop.marketplace.settle(sale)
    await system.wake(handle)
    assert (await system.end(handle)).outcome is Outcome.CANCELLED
    assert await cancelled_there(system, sample) == []


# Gift cards that were bought


async def test_an_unused_gift_card_is_deactivated_before_its_price_goes_back(system: System) -> None:
    """B15"""
    sample = bought_gift_card()
    order = await system.shop.place_order(sample)
    bought = order.shipments[0].gift_card
    assert bought is not None
    result = await system.cancel(request(sample))
    assert (result.outcome, result.goods, result.refunded) == (
        Outcome.CANCELLED,
        GoodsStatus.STOPPED,
        money("50.00 USD"),
    )
    assert await built_in.balance(system.engine, bought) == money("0.00 USD")
    [deactivated] = [effect for effect in await built_in.effects(system.engine) if effect.kind == "taken_off"]
    noted = [e.fact.key for e in await books.facts(system.engine, sample.order_id) if isinstance(e.fact, EffectNoted)]
    steps = [key.step for key in noted]
    assert deactivated.key in [str(key) for key in noted]
    assert steps.index(StepName.STOP_SHIPMENT) < steps.index(StepName.REVERSE_PAYMENT)
    assert await system.refunds(sample.order_id) == [money("50.00 USD")]


async def test_a_gift_card_that_was_used_is_not_taken_back(system: System) -> None:
    """B15: nothing is refunded."""
    sample = bought_gift_card()
    order = await system.shop.place_order(sample)
    bought = order.shipments[0].gift_card
    assert bought is not None
    await built_in.spend_balance(system.engine, bought, money("5.00 USD"), key=f"spent-{bought}")
    result = await system.cancel(request(sample))
    assert result.decision is not None
    assert (result.outcome, result.decision.rule) == (Outcome.REJECTED, Rule.GIFT_CARD_USED)
    assert await built_in.balance(system.engine, bought) == money("45.00 USD")
    assert await system.refunds(sample.order_id) == []


async def test_a_gift_card_that_is_used_while_the_cancellation_waits_stays_with_the_customer(system: System) -> None:
    """B15: the other line is cancelled."""
    sample = bought_gift_card(besides="600.00 USD")
    order = await system.shop.place_order(sample)
    bought = order.shipments[0].gift_card
    assert bought is not None
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await built_in.spend_balance(system.engine, bought, money("5.00 USD"), key=f"spent-{bought}")
    await system.approve(handle)
    result = await system.end(handle)
    assert (result.outcome, result.refunded) == (Outcome.PARTIALLY_CANCELLED, money("600.00 USD"))
    assert [out.reason for out in result.left_out] == [LeftOutReason.GIFT_CARD_USED]


async def test_a_gift_card_works_again_when_the_cancellation_is_rolled_back(system: System) -> None:
    """B15: the compensation."""
    sample = bought_gift_card().model_copy(update={"tenders": (card("50.00 USD", fault="refund.create:refuse"),)})
    order = await system.shop.place_order(sample)
    bought = order.shipments[0].gift_card
    assert bought is not None
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    assert await built_in.balance(system.engine, bought) == money("0.00 USD")
    await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "roll_back"))
    result = await system.read_rolled_back(handle)
    assert result.outcome is Outcome.ROLLED_BACK
    assert await built_in.balance(system.engine, bought) == money("50.00 USD")


async def test_a_sale_that_was_cancelled_without_an_answer_and_paid_by_hand_is_reported(system: System) -> None:
    """M36, E23: the marketplace took the cancellation and refunds the buyer; its answer was lost and it was away."""
    sample = sold_there()
    await system.shop.place_order(sample)
    sales = system.shop.marketplace
    assert sales is not None
    sale = f"M-{sample.order_id}"
    await sales.add_fault(Operation.ORDERS_REFUND, FaultKind.DROP_AFTER_COMMIT, order_id=sale)
    await sales.add_fault(Operation.ORDERS_READ, FaultKind.HTTP_500, times=400, after=2, order_id=sale)
    _, handle = await system.submit(request(sample))

    async def committed() -> bool:
        return bool(await sales.effects(sale))

    await eventually(committed, "the marketplace takes the cancellation")
    await system.skip(timedelta(minutes=4))
    wait = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert wait
    await system.resolve(handle, settled(wait, "done_by_hand", "BANK-TRANSFER-9"))
    await sales.clear_faults()
    await sales.settle(sale)
    await system.wake(handle)
    asked = await system.wait_for_collection(handle, after=wait)
    assert asked, "the buyer has 64.00 from the marketplace and 64.00 by hand, and nobody is notified"
