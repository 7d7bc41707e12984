"""What there is to see of a cancellation once it is over, in words in which two orders can be compared."""

from collections import Counter

from domain.base import Value
from domain.case import Case
from domain.facts import EffectNoted
from domain.keys import EffectKey
from domain.order import Order
from domain.outcome import CancellationResult
from sandbox import books
from sandbox.vendure.answers import ShownFulfillment, ShownOrder
from tests.integrations.vendure.over import OverVendure


class Aftermath(Value):
    """Ids are those of the order's lines, fulfilments and tenders by their place in it."""

    result: tuple[str, ...]
    order: tuple[str, ...]
    lines: tuple[str, ...]
    fulfillments: tuple[str, ...]
    payments: tuple[str, ...]
    stock: tuple[str, ...]
    gateway: tuple[str, ...]
    carrier: tuple[str, ...]
    effects: tuple[str, ...]
    ledger: tuple[str, ...]
    notices: tuple[str, ...]

    def differences(self, other: "Aftermath") -> list[str]:
        mine, others = self.model_dump(), other.model_dump()
        return [f"{name}: {mine[name]}, not {others[name]}" for name in mine if mine[name] != others[name]]


async def see_aftermath(over: OverVendure, order: Order, result: CancellationResult) -> Aftermath:
    system, shown = over.system, await over.shop.read(order.order_id)
    [case] = await over.cases(order)
    names = _Names(order, shown)
    levels = [await over.shop.read_stock(order.order_id, line.id) for line in shown.lines]
    held_by = await over.shop.read_holder(order.order_id) if over.has_plugin else None
    paid_by = {tender.reference for tender in order.tenders}
    at_gateway = [
        effect
        for effect in await system.shop.gateway.effects()
        if effect.payment_id in paid_by or paid_by & {*effect.metadata.values()}
    ]
    transfers = [entry for entry in await books.ledger(system.engine) if entry.cancellation_id == case.cancellation_id]
    documents = [entry for entry in await books.documents(system.engine) if entry.order_id == order.order_id]
    outcomes = await system.outcomes(order.order_id)
    return Aftermath(
        result=(result.outcome.value, str(result.refunded)),
        order=(shown.state, str(shown.total), str(shown.shipping), f"held by {held_by}"),
        lines=tuple(f"{line.quantity} of {line.placed}, {line.total}" for line in shown.lines),
        fulfillments=tuple(names.describe(fulfillment) for fulfillment in shown.fulfillments),
        payments=tuple(
            f"{payment.state} {payment.amount}, {'as placed' if payment.reference in paid_by else 'replaced'}, "
            f"given back {[(refund.state, refund.total) for refund in payment.refunds]}"
            for payment in shown.payments
        ),
        stock=tuple(f"{level.on_hand} on hand, {level.allocated} promised" for level in levels),
        gateway=tuple(f"{effect.kind.value} {effect.amount} {effect.currency}" for effect in at_gateway),
        carrier=tuple(await system.carrier_effects(order.order_id)),
        effects=(*(str(outcome) for outcome in outcomes), *names.describe_effects(case)),
        ledger=(
            *(f"{entry.kind.value} {entry.total}" for entry in documents),
            *(f"{entry.debit.value} {entry.credit.value} {entry.amount}" for entry in transfers),
        ),
        notices=tuple(
            sorted(f"{notice.kind.value} {notice.amount}" for notice in await system.notices(order.order_id))
        ),
    )


class _Names:
    def __init__(self, order: Order, shown: ShownOrder) -> None:
        self._order_id = order.order_id
        self._tenders = {tender.tender_id: f"T{at}" for at, tender in enumerate(order.tenders, start=1)}
        self._lines = {line.id: f"L{at}" for at, line in enumerate(shown.lines, start=1)}
        self._fulfillments = {found.id: f"S{at}" for at, found in enumerate(shown.fulfillments, start=1)}

    def describe(self, fulfillment: ShownFulfillment) -> str:
        units = Counter({self._lines[part.line_id]: part.quantity for part in fulfillment.lines})
        return f"{fulfillment.state} {fulfillment.method.split(' ')[0]} {sorted(units.items())}"

    def describe_effects(self, case: Case) -> list[str]:
        """Each that was noted, with how it ended."""
        noted = {entry.fact.key for entry in case.entries if isinstance(entry.fact, EffectNoted)}
        ended = {key: case.outcome_of(key) for key in noted}
        return sorted(
            f"{self._describe_key(key)} {end.outcome.value if end else 'noted'}" for key, end in ended.items()
        )

    def _describe_key(self, key: EffectKey) -> str:
        named = {self._order_id: "order", **(self._fulfillments if "shipment" in key.step.value else self._tenders)}
        return f"{key.step.value}/{named[key.target]}/{key.n}.{key.part}"
