"""What is known of payments that two orders of a plan share."""

from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.plan import PlannedTender
from sandbox.shop import SampleOrder, card, line, request
from tests.faults.drawing import draw_plan
from tests.faults.invariants import violations
from tests.faults.model import REFUNDED, AtGateway, Invariant, Said, Verb
from tests.faults.owed import Owed
from tests.faults.payments import given_twice_to_others
from tests.faults.world import Watched, read_worlds
from tests.system import System
from tests.workflows.samples import an_id

WHOLE = money("100.00 USD")


def test_what_is_captured_of_a_shared_payment_is_captured_for_its_orders() -> None:
    alike = 0
    for seed in range(20):
        plan = draw_plan(seed, 50)
        for shared in plan.shared_payments:
            sharers = [
                (order.sample, tender)
                for order in plan.orders
                for tender in order.sample.tenders
                if tender.payment == shared.name
            ]
            [first, second] = sharers
            taken = [paid.amount if paid.captured is None else paid.captured for _, paid in sharers]
            assert Money.total((paid.amount for _, paid in sharers), shared.amount.currency) == shared.amount
            assert Money.total(taken, shared.amount.currency) == shared.captured
            assert all(paid.kind is TenderKind.CARD for _, paid in sharers)
            alike += first[0].lines == second[0].lines
    assert alike > 10, "twins are drawn"


async def two_orders(system: System) -> list[Watched]:
    """The first one is cancelled."""
    payment = await system.shop.gateway.create_payment(WHOLE, capture=WHOLE)
    watched = []
    for paid in ("60.00 USD", "40.00 USD"):
        sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, paid),), tenders=(card(paid, payment=payment),))
        order = await system.shop.place_order(sample)
        watched.append(Watched(order, captured_for={"T1": money(paid).amount}))
        if len(watched) == 1:
            await system.cancel(request(sample))
            watched[0].said.append(Said(verb=Verb.SUBMIT))
    return watched


async def test_a_refund_of_others_is_for_the_order_for_which_it_was_made(system: System) -> None:
    first, second = await two_orders(system)
    [tender] = second.order.tenders
    refund = await system.shop.gateway.refund_elsewhere(tender.reference, money("10.00 USD"))
    second.refunds_of_others.add(refund)
    of_first, of_second = await read_worlds(system, [first, second])
    assert (of_first.by_others, of_second.by_others) == (0, 1000)
    assert [violations(world) for world in (of_first, of_second)] == [[], []]
    not_ours = of_first.model_copy(update={"captured_for": (("T1", 0),)})
    assert Invariant.MONEY in {found.invariant for found in violations(not_ours)}
    assert not_ours.reserved == 6000, "what was captured for the other one is reserved for this one"


async def test_what_was_given_twice_of_a_shared_payment_before_the_plan_is_what_another_order_lacks(
    system: System,
) -> None:
    """Somebody had refunded all of the first order, which is cancelled besides: of the second one nothing is left."""
    first, second = await two_orders(system)
    [tender] = second.order.tenders
    first.refunds_of_others.add(await system.shop.gateway.refund_elsewhere(tender.reference, money("40.00 USD")))
    await system.cancel(request(SampleOrder(order_id=second.order.order_id, lines=(), tenders=())))
    second.said.append(Said(verb=Verb.SUBMIT))
    _, of_second = await read_worlds(system, [first, second])
    assert given_twice_to_others(of_second) == 4000
    assert violations(of_second) == []
    assert given_twice_to_others(of_second.model_copy(update={"captured_for": ()})) == 0
    later = tuple(effect.model_copy(update={"at": float("inf")}) for effect in of_second.for_other_orders)
    broken = violations(of_second.model_copy(update={"for_other_orders": later}))
    assert Invariant.MONEY in {found.invariant for found in broken}, "somebody has to be asked"


def a_tender(amount: str) -> PlannedTender:
    zero = money("0.00 USD")
    paid = money(amount)
    tender = Tender(tender_id="T1", kind=TenderKind.CARD, amount=paid, reference="pi_1")
    return PlannedTender(
        tender=tender, refund=paid, release=zero, refundable=paid, capturable=zero, captured=paid, refunded=zero
    )


def test_who_knows_whose_money_it_is_pays_no_more_than_what_is_missing() -> None:
    theirs = AtGateway(kind=REFUNDED, tender_id="T1", object_id="re_1", amount=3000, key=None, by_others=True)
    by_hand = Said(verb=Verb.DONE_BY_HAND, target="T1", cancellation="can-1", amount=money("20.00 USD"))
    owed = Owed(a_tender("40.00 USD"), "can-1", [theirs], [])
    assert owed.of_shared_payment(4000, {"re_1"}) == money("10.00 USD")
    assert owed.of_shared_payment(4000, {"re_2"}) == money("40.00 USD"), "it was another order's"
    assert owed.of_shared_payment(2000, set()) == money("20.00 USD"), "no more was taken for it"
    paid = Owed(a_tender("40.00 USD"), "can-1", [theirs], [by_hand])
    assert (paid.paid_besides({"re_1"}), paid.paid_besides(set()), owed.paid_besides({"re_1"})) == (1000, 0, 0)
