"""What the check finds that is about an order of which others change, while its cancellation waits, what it costs or by what
it is paid."""

from domain.money import Money, money
from domain.order import Tender, TenderKind
from domain.request import LineScope
from domain.step import StepName
from sandbox import built_in
from sandbox.shop import SampleOrder, card, line, request
from tests.faults import invariants
from tests.faults.broken import with_said
from tests.faults.invariants import violations
from tests.faults.model import CAPTURED, REFUNDED, AtGateway, ChangedByOthers, Invariant, Said, Verb, World
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id

EXPRESS = money("15.00 USD")


def added(world: World, tender_id: str, change: ChangedByOthers) -> World:
    """The shop has charged more, and taken it by another card."""
    tender = Tender(tender_id=tender_id, kind=TenderKind.CARD, amount=EXPRESS, reference=f"pi_{tender_id}")
    taken = AtGateway(kind=CAPTURED, tender_id=tender_id, object_id=tender.reference, amount=EXPRESS.amount, key=None)
    order = world.order
    paid = {"tenders": (*order.tenders, tender), "shipping": order.shipping + EXPRESS}
    return world.model_copy(
        update={
            "order": order.model_copy(update=paid),
            "money": (*world.money, taken),
            "changes": (*world.changes, change),
        }
    )


def answered(world: World, question: str) -> World:
    known = {"verb": Verb.DONE_BY_HAND, "step": StepName.CHECK_ORDER, "target": world.order.order_id}
    return with_said(world, **known, accepted=None, question=question)


def broken(world: World) -> set[Invariant]:
    return {found.invariant for found in violations(world)}


async def two_lines_cancelled(system: System, *scope: LineScope) -> World:
    lines = (line("L1", 1, "40.00 USD"), line("L2", 1, "24.00 USD"))
    sample = SampleOrder(order_id=an_id(), lines=lines, tenders=(card("64.00 USD"),))
    order = await system.shop.place_order(sample)
    await system.cancel(request(sample, *scope))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT, scope=scope)]))
    assert violations(world) == []
    return world


async def test_what_is_paid_for_express_goes_back_or_somebody_is_asked(system: System) -> None:
    change = ChangedByOthers(words="tender T2 (", less=EXPRESS.amount)
    unseen = added(await two_lines_cancelled(system), "T2", change)
    assert broken(unseen) == {Invariant.MONEY}
    assert violations(answered(unseen, "… tender T2 (15.00 USD) is a new payment …")) == []
    less = unseen.model_copy(update={"changes": (change.model_copy(update={"less": EXPRESS.amount - 1}),)})
    known = answered(less, "… tender T2 (15.00 USD) is a new payment …")
    assert broken(known) == {Invariant.MONEY}, "more is missing than was added"


async def test_who_knows_of_one_payment_does_not_know_of_the_next(system: System) -> None:
    first = ChangedByOthers(words="tender T2 (", less=EXPRESS.amount)
    second = ChangedByOthers(words="tender T3 (", less=EXPRESS.amount)
    both = added(added(await two_lines_cancelled(system), "T2", first), "T3", second)
    one = answered(both, "… tender T2 (15.00 USD) is a new payment …")
    assert broken(one) == {Invariant.MONEY}
    assert violations(answered(one, "… tender T3 (15.00 USD) is a new payment …")) == []


async def test_a_payment_that_was_exchanged_goes_back_or_somebody_is_asked(system: System) -> None:
    """What others gave back on the first card was for the second one."""
    sound = await two_lines_cancelled(system)
    whole = sound.order.tenders[0].amount
    tender = Tender(tender_id="T2", kind=TenderKind.CARD, amount=whole, reference="pi_2")
    taken = AtGateway(kind=CAPTURED, tender_id="T2", object_id="pi_2", amount=whole.amount, key=None)
    theirs = {"kind": REFUNDED, "tender_id": "T1", "object_id": "re_2", "amount": whole.amount, "key": None}
    of_others = AtGateway.model_validate({**theirs, "by_others": True, "at": sound.money[-1].at})
    change = ChangedByOthers(words="tender T2 (", less=whole.amount, given_for_it=whole.amount)
    nothing = tuple(found.model_copy(update={"refunded": Money.zero("USD")}) for found in sound.cancellations)
    unseen = sound.model_copy(
        update={
            "order": sound.order.model_copy(update={"tenders": (*sound.order.tenders, tender)}),
            "money": (sound.money[0], taken, of_others),
            "changes": (change,),
            "cancellations": nothing,
            "ledger": (),
        }
    )
    checks = [invariants.carried_out_gives_what_its_goods_cost]
    assert {found.invariant for found in violations(unseen, checks)} == {Invariant.MONEY}
    assert violations(answered(unseen, "… tender T2 (64.00 USD) is a new payment …"), checks) == []


async def test_at_other_prices_than_were_planned_somebody_is_asked(system: System) -> None:
    sound = await two_lines_cancelled(system, LineScope(line_id="L2", quantity=1))
    up, down = (
        sold.model_copy(update={"total": money(price)})
        for sold, price in zip(sound.order.lines, ("34.00 USD", "30.00 USD"), strict=True)
    )
    change = ChangedByOthers(words="line L2 costs", less=600, more=600)
    changed = sound.model_copy(
        update={"order": sound.order.model_copy(update={"lines": (up, down)}), "changes": (change,)}
    )
    assert broken(changed) == {Invariant.MONEY}
    assert violations(answered(changed, "… line L2 costs 30.00 USD instead of 24.00 USD …")) == []
    assert broken(answered(changed, "… line L1 costs 34.00 USD instead of 40.00 USD …")) == {Invariant.MONEY}


async def test_a_payment_is_added_to_an_order_with_what_it_pays(system: System) -> None:
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await system.shop.place_order(sample)
    paid = await system.shop.gateway.create_payment(EXPRESS, capture=EXPRESS)
    express = Tender(tender_id="T2", kind=TenderKind.CARD, amount=EXPRESS, reference=paid)
    assert await built_in.add_payment(system.engine, order.order_id, express)
    now = await system.orders.read(order.order_id)
    assert (now.tenders, now.shipping) == ((*order.tenders, express), EXPRESS)
    result = await system.cancel(request(sample))
    assert result.refunded == money("79.00 USD")
    assert not await built_in.add_payment(system.engine, order.order_id, express), "nothing is left of it to be sent"
