"""A shop that captures a shared payment parcel by parcel takes sums of article prices, and articles of one basket often cost
the same: the amount of a capture does not say for which order it was."""

from datetime import timedelta

from domain.money import Money, money
from domain.outcome import Outcome, State, Wait
from domain.request import LineScope
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleParcel, card, line, parcel, request
from tests.observing import eventually
from tests.system import Handle, System, settled
from tests.workflows.samples import an_id
from tests.workflows.test_captured_all_the_same import hear

OUT = (parcel(Script.OUT_FOR_DELIVERY, L1=1),)
"""The first line's parcel has left."""


async def two_orders(
    system: System,
    ours: tuple[str, ...],
    theirs: tuple[str, ...],
    *,
    captured: str | None,
    final: bool = False,
    our_parcels: tuple[SampleParcel, ...] = (),
    their_parcels: tuple[SampleParcel, ...] = (),
    days: int = 1,
) -> tuple[SampleOrder, str]:
    """The first of two orders with articles at these prices, paid by one payment, which is returned with it.
    They are so many days old."""

    def total(prices: tuple[str, ...]) -> Money:
        return Money.total((money(price) for price in prices), "USD")

    payment = await system.shop.gateway.create_payment(total(ours) + total(theirs), multicapture=True)
    orders = [
        SampleOrder(
            order_id=an_id(),
            lines=tuple(line(f"L{n}", 1, price) for n, price in enumerate(prices, start=1)),
            tenders=(card(str(total(prices)), payment=payment),),
            parcels=parcels,
            age=timedelta(days=days),
        )
        for prices, parcels in ((ours, our_parcels), (theirs, their_parcels))
    ]
    for order in orders:
        await system.shop.place_order(order)
    if captured:
        await system.shop.gateway.capture(payment, money(captured), final=final)
    return orders[0], payment


async def test_what_was_captured_for_a_parcel_of_the_other_order_is_not_refunded(system: System) -> None:
    """Rule 9, I1: nothing of this order has left; the other one has the same article in a parcel that has, and one more.
    The 60.00 that were captured for that are as much as this order paid."""
    ours, payment = await two_orders(
        system, ("60.00 USD",), ("60.00 USD", "40.00 USD"), captured="60.00 USD", their_parcels=OUT
    )
    _, handle = await system.submit(request(ours))
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert "60.00 USD of 160.00 USD was captured" in asked.reason
    assert (await system.gateway.read_payment(payment)).refunded == money("0.00 USD")


async def test_what_was_captured_for_two_parcels_of_two_orders_is_not_all_this_ones(system: System) -> None:
    """Rule 9, I1: two shirts of 40.00 are this order's, one is the other's. One of each has left, and 80.00 were captured,
    which is what this order paid. The one that has not left is cancelled."""
    ours, payment = await two_orders(
        system,
        ("40.00 USD", "40.00 USD"),
        ("40.00 USD",),
        captured="80.00 USD",
        our_parcels=OUT,
        their_parcels=OUT,
    )
    _, handle = await system.submit(request(ours, LineScope(line_id="L2", quantity=1)))
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert "40.00 USD may be owed" in asked.reason
    assert (await system.gateway.read_payment(payment)).refunded == money("0.00 USD")


async def test_what_was_captured_for_this_orders_parcel_is_refunded_although_the_others_paid_as_much(
    system: System,
) -> None:
    """I1: the parcel with 60.00 of 100.00 has left, these were captured, and the rest was released. The parcel is lost. The
    other order paid 60.00, too."""
    ours, payment = await two_orders(
        system,
        ("60.00 USD", "40.00 USD"),
        ("60.00 USD",),
        captured="60.00 USD",
        final=True,
        our_parcels=(parcel(Script.LOST, L1=1),),
    )
    result = await system.cancel(request(ours))
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("60.00 USD"))
    assert (await system.gateway.read_payment(payment)).refunded == money("60.00 USD")


async def test_what_is_reserved_for_the_order_that_has_not_left_is_released_and_what_was_captured_for_the_rest_refunded(
    system: System,
) -> None:
    """I1: the same, with everything but the lost parcel's 60.00 reserved still."""
    ours, _ = await two_orders(
        system,
        ("60.00 USD", "40.00 USD"),
        ("60.00 USD",),
        captured="60.00 USD",
        our_parcels=(parcel(Script.LOST, L1=1),),
    )
    result = await system.cancel(request(ours))
    assert (result.refunded, result.released) == (money("60.00 USD"), money("40.00 USD"))


async def test_nobody_is_told_to_transfer_what_two_orders_of_one_payment_were_both_promised(system: System) -> None:
    """I11, rule 9: somebody has refunded 70.00 of 100.00 that two orders of 60.00 and 40.00 paid. Both are decided
    about while 30.00 are left; the first one gets them, and whether the second one's customer has had theirs by the
    70.00, nobody knows."""
    payment = await system.shop.gateway.create_payment(money("100.00 USD"), capture=money("100.00 USD"))
    await system.shop.gateway.refund_elsewhere(payment, money("70.00 USD"))
    handles = []
    for paid in ("60.00 USD", "40.00 USD"):
        sample = SampleOrder(
            order_id=an_id(),
            lines=(line("L1", 1, paid),),
            tenders=(card(paid, payment=payment),),
            age=timedelta(days=60),
        )
        await system.shop.place_order(sample)
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        handles.append(handle)
    for handle in handles:
        await system.approve(handle)
    assert (await system.finish(handles[0])).refunded == money("30.00 USD")
    asked = await system.wait_for_step(handles[1], StepName.REVERSE_PAYMENT)
    assert asked
    assert "it pays other orders too" in asked.reason
    assert "Transfer it" not in asked.reason


async def refunded_by_others_besides(system: System) -> tuple[Handle, str, str]:
    """100.00 for orders of 60.00 and 40.00. While the first one waits for its approval, somebody refunds 20.00 at the
    gateway, and the second one is cancelled besides: the gateway has enough, so all of its 40.00 go back. 40.00 are left of
    the 60.00 of the first one, of which the run is returned, with the payment and the refund."""
    payment = await system.shop.gateway.create_payment(money("100.00 USD"), capture=money("100.00 USD"))
    samples = [
        SampleOrder(
            order_id=an_id(),
            lines=(line("L1", 1, paid),),
            tenders=(card(paid, payment=payment),),
            age=timedelta(days=age),
        )
        for paid, age in (("60.00 USD", 60), ("40.00 USD", 1))
    ]
    for sample in samples:
        await system.shop.place_order(sample)
    first, second = samples
    _, handle = await system.submit(request(first))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    refund = await system.shop.gateway.refund_elsewhere(payment, money("20.00 USD"))
    assert (await system.cancel(request(second))).refunded == money("40.00 USD")
    await system.approve(handle)
    return handle, payment, refund


async def wait_until_asked_for_which_order(system: System, handle: Handle, refund: str) -> Wait:
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert f"others have refunded 20.00 USD (refund {refund})" in asked.reason
    assert "Find out for which order that was" in asked.reason
    return asked


async def test_a_refund_for_the_other_order_of_one_payment_does_not_count_for_this_one_unasked(system: System) -> None:
    """I1: it was for the second order, whose customer has had it twice. The gateway does not have 20.00 of what is owed."""
    handle, payment, refund = await refunded_by_others_besides(system)
    await wait_until_asked_for_which_order(system, handle, refund)
    assert (await system.gateway.read_payment(payment)).refunded == money("60.00 USD")
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")

    async def is_asked_for_the_rest() -> bool:
        return any("20.00 USD may be owed" in wait.reason for wait in (await system.progress(handle)).waits)

    await eventually(is_asked_for_the_rest, "a person is asked for what the gateway does not have")
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert "it pays other orders too" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", "TRANSFER-1"))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("60.00 USD"))
    assert (await system.gateway.read_payment(payment)).refunded == money("100.00 USD")
    await system.assert_books_balance()


async def test_a_refund_of_others_that_a_person_names_for_this_order_of_one_payment_counts_for_it(
    system: System,
) -> None:
    """I11: it was for the first order."""
    handle, payment, refund = await refunded_by_others_besides(system)
    asked = await wait_until_asked_for_which_order(system, handle, refund)
    await system.resolve(handle, settled(asked, "done_by_hand", refund))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("60.00 USD"))
    assert (await system.gateway.read_payment(payment)).refunded == money("100.00 USD")
    await system.assert_books_balance()


async def test_a_refund_of_as_much_as_the_order_is_owed_is_no_less_a_question(system: System) -> None:
    """I11, I1: 60.00 of 160.00 are refunded by others while this order of 60.00 waits for its approval. The other one paid
    100.00, so it may have been for that."""
    ours, payment = await two_orders(system, ("60.00 USD",), ("100.00 USD",), captured="160.00 USD", days=60)
    _, handle = await system.submit(request(ours))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    refund = await system.shop.gateway.refund_elsewhere(payment, money("60.00 USD"))
    await system.approve(handle)
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert f"60.00 USD (refund {refund})" in asked.reason
    await system.resolve(handle, settled(asked, "done_by_hand", refund))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("60.00 USD"))
    assert (await system.gateway.read_payment(payment)).refunded == money("60.00 USD")


async def test_what_was_given_up_of_a_shared_reservation_and_captured_is_asked_about_as_far_as_it_may_be_this_orders(
    system: System,
) -> None:
    """I1, E29: 310.96 and 15.79 are reserved. The first order is cancelled, and its 310.96 are captured all the same. Had
    the 15.79 been captured among them, 15.79 less would be owed; nobody but the shop knows."""
    ours, payment = await two_orders(system, ("310.96 USD",), ("15.79 USD",), captured=None)
    assert (await system.cancel(request(ours))).released == money("310.96 USD")
    await system.shop.gateway.capture(payment, money("310.96 USD"), final=True)
    handle = await hear(system, ours, payment)
    assert handle
    asked = await system.wait_for_step(handle, StepName.REVERSE_PAYMENT)
    assert asked
    assert "310.96 USD of tender T1" in asked.reason
    assert "some of that may have been captured for these" in asked.reason
    await system.retry(handle, StepName.REVERSE_PAYMENT, "T1")
    asked = await wait_until_asked_whose_it_is(system, handle)
    refund = await system.shop.gateway.refund_elsewhere(payment, money("310.96 USD"))
    await system.resolve(handle, settled(asked, "done_by_hand", refund))
    result = await system.finish(handle)
    assert (result.refunded, result.released) == (money("310.96 USD"), money("0.00 USD"))
    assert (await system.gateway.read_payment(payment)).refunded == money("310.96 USD")
    await system.assert_books_balance()


async def test_what_of_it_was_captured_for_the_other_order_is_kept_when_a_person_says_so(system: System) -> None:
    """I11, E29: the same, while the cancellation waits for its approval; 15.79 of it were the other order's."""
    ours, payment = await two_orders(system, ("310.96 USD",), ("15.79 USD",), captured=None, days=60)
    _, handle = await system.submit(request(ours))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.shop.gateway.capture(payment, money("310.96 USD"), final=True)
    await system.approve(handle)
    asked = await wait_until_asked_whose_it_is(system, handle)
    refund = await system.shop.gateway.refund_elsewhere(payment, money("295.17 USD"))
    await system.resolve(handle, settled(asked, "done_by_hand", refund))

    async def is_asked_for_the_rest() -> bool:
        return any("15.79 USD may be owed" in wait.reason for wait in (await system.progress(handle)).waits)

    await eventually(is_asked_for_the_rest, "a person is asked about the rest")
    await system.resolve(handle, settled(await wait_until_asked_whose_it_is(system, handle), "nothing_due", "ORDER-2"))
    result = await system.finish(handle)
    assert (result.outcome, result.refunded) == (Outcome.CANCELLED, money("295.17 USD"))
    assert (await system.gateway.read_payment(payment)).refunded == money("295.17 USD")


async def wait_until_asked_whose_it_is(system: System, handle: Handle) -> Wait:
    found: list[Wait] = []

    async def is_asked() -> bool:
        found[:] = [wait for wait in (await system.progress(handle)).waits if "may be owed" in wait.reason]
        return bool(found)

    await eventually(is_asked, "a person is asked whose the captured money is")
    assert "nobody can tell whether for this order or for another one that it pays" in found[0].reason
    return found[0]
