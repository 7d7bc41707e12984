"""What the check finds that is about a payment which is added to an order while its cancellation waits."""

from domain.money import money
from domain.order import Tender, TenderKind
from domain.step import StepName
from sandbox import built_in
from sandbox.shop import SampleOrder, card, line, request
from tests.faults.invariants import violations
from tests.faults.model import CAPTURED, AtGateway, Invariant, Said, Verb
from tests.faults.world import Watched, read_world
from tests.system import System
from tests.workflows.samples import an_id

EXPRESS = money("15.00 USD")


async def test_what_is_paid_for_express_goes_back_or_somebody_is_asked(system: System) -> None:
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await system.shop.place_order(sample)
    await system.cancel(request(sample))
    world = await read_world(system, Watched(order, [Said(verb=Verb.SUBMIT)]))
    assert violations(world) == []
    added = Tender(tender_id="T2", kind=TenderKind.CARD, amount=EXPRESS, reference="pi_2")
    taken = AtGateway(kind=CAPTURED, tender_id="T2", object_id="pi_2", amount=EXPRESS.amount, key=None)
    changed = order.model_copy(update={"tenders": (*order.tenders, added), "shipping": EXPRESS})
    unseen = world.model_copy(update={"order": changed, "money": (*world.money, taken), "added": EXPRESS.amount})
    assert {found.invariant for found in violations(unseen)} == {Invariant.MONEY}
    known = Said(verb=Verb.DONE_BY_HAND, step=StepName.CHECK_ORDER, target=order.order_id, accepted=None)
    seen = unseen.model_copy(update={"said": (*world.said, known)})
    assert violations(seen) == []
    less = seen.model_copy(update={"added": EXPRESS.amount - 1})
    assert {found.invariant for found in violations(less)} == {Invariant.MONEY}, "more is missing than was added"


async def test_a_payment_is_added_to_an_order_with_what_it_pays(system: System) -> None:
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 1, "64.00 USD"),), tenders=(card("64.00 USD"),))
    order = await system.shop.place_order(sample)
    paid = await system.shop.gateway.create_payment(EXPRESS, capture=EXPRESS)
    added = Tender(tender_id="T2", kind=TenderKind.CARD, amount=EXPRESS, reference=paid)
    await built_in.add_payment(system.engine, order.order_id, added)
    now = await system.orders.read(order.order_id)
    assert (now.tenders, now.shipping) == ((*order.tenders, added), EXPRESS)
    result = await system.cancel(request(sample))
    assert result.refunded == money("79.00 USD")
