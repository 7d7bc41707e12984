"""The people of the shop, who change an order besides its cancellation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from domain.errors import Unavailable
from domain.money import Money
from domain.order import Order, Tender, TenderKind
from domain.outcome import State
from sandbox import built_in
from tests.faults.model import ChangedByOthers
from tests.faults.others import is_possible
from tests.faults.plan import Act, ActKind, PlannedOrder, Repricing
from tests.faults.warehouse import find_stopped, label_anew, replace_parcel, with_parcel
from tests.faults.world import Watched, read_cases
from tests.system import System

OF_THE_SHOP = frozenset(
    {
        ActKind.TRANSFERRED,
        ActKind.ARCHIVED,
        ActKind.PAYMENT_ADDED,
        ActKind.PAYMENT_ADDED_LATER,
        ActKind.PAYMENT_EXCHANGED,
        ActKind.PRICES_CORRECTED,
        ActKind.PACKED_ANEW,
    }
)
_BEFORE_THE_CLOSE = frozenset({State.WAITING_FOR_APPROVAL, State.WAITING_FOR_CARRIER, State.NEEDS_ATTENTION})


@dataclass
class Clerks:
    """`insist_on` tries a change again while the database is locked. `archive` has the ids of the orders that the workers
    do not find any more."""

    system: System
    watched: Watched
    planned: PlannedOrder
    insist_on: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]
    archive: Path
    done: set[ActKind] = field(default_factory=set)

    async def perform_act(self, act: Act, state: State | None) -> bool:
        """Whether it was possible. `state`: what the run waits for; None: it has ended."""
        if await self._has_done(act, state):
            self.done.add(act.kind)
            return True
        return False

    async def _has_done(self, act: Act, state: State | None) -> bool:
        match act.kind:
            case ActKind.TRANSFERRED:
                return await self._transfer()
            case ActKind.ARCHIVED:
                with self.archive.open("a", encoding="utf-8") as ids:
                    ids.write(f"{self.planned.order_id}\n")
                return True
            case ActKind.PAYMENT_ADDED | ActKind.PAYMENT_ADDED_LATER:
                assert act.amount is not None
                return state in _BEFORE_THE_CLOSE and await self._add_payment(act.amount)
            case ActKind.PAYMENT_EXCHANGED:
                return state is State.WAITING_FOR_APPROVAL and await self._exchange_payment(act.payment)
            case ActKind.PRICES_CORRECTED:
                assert act.repricing is not None
                return state is State.WAITING_FOR_APPROVAL and await self._correct_prices(act.repricing)
            case ActKind.PACKED_ANEW:
                return await self._pack_anew()
        raise AssertionError(f"{act.kind} is nothing that a shop does")

    async def _transfer(self) -> bool:
        """Once; the customer of before goes on asking for what they have asked for."""
        if ActKind.TRANSFERRED in self.done:
            return False
        order_id = self.planned.order_id
        await self.insist_on(lambda: built_in.transfer_order(self.system.engine, order_id, f"C-merged-{order_id}"))
        return True

    async def _pack_anew(self) -> bool:
        order_id = self.planned.order_id
        try:
            stopped = await find_stopped(self.system, self.watched)
        except (DBAPIError, Unavailable):
            return False  # the database is away
        if stopped is None or ActKind.PACKED_ANEW in self.done:
            return False
        anew = await label_anew(self.system, order_id, stopped)
        await self.insist_on(lambda: replace_parcel(self.system, order_id, anew))
        self.watched.order = with_parcel(self.watched.order, anew)
        return True

    # What is paid

    async def _add_payment(self, amount: Money) -> bool:
        """Of an order with a discount nobody but the shop knows what its lines cost then."""
        if self.watched.order.discount:
            return False
        tender, added = await self._pay(amount), False

        async def add() -> None:
            nonlocal added
            added = await built_in.add_payment(self.system.engine, self.planned.order_id, tender)

        await self.insist_on(add)
        if added:
            order = self._name(tender)
            self.watched.order = order.model_copy(update={"shipping": order.shipping + amount})
            self._note(tender, less=amount.amount)
        return added

    async def _exchange_payment(self, number: int) -> bool:
        """The customer pays by another card, and has the money back on the first one."""
        [old, *_] = [
            tender
            for tender in self.watched.order.tenders
            if tender.reference == self.system.shop.payments[self.planned.order_id][number]
        ]
        gateway, was = self.system.shop.gateway, await self.system.gateway.read_payment(old.reference)
        whole = was.refundable == old.amount and not was.open_disputes
        if not whole or not await is_possible(gateway.refund_elsewhere(old.reference, old.amount)):
            return False
        new = await self._pay(old.amount)
        await self.insist_on(
            lambda: built_in.exchange_payment(self.system.engine, self.planned.order_id, old.tender_id, new)
        )
        self.watched.order = self._name(new)
        self._note(new, less=new.amount.amount, given_for_it=new.amount.amount)
        return True

    async def _pay(self, amount: Money) -> Tender:
        order = self.watched.order
        paid = await self.system.shop.gateway.create_payment(amount, capture=amount)
        return Tender(tender_id=f"T{len(order.tenders) + 1}", kind=TenderKind.CARD, amount=amount, reference=paid)

    def _name(self, tender: Tender) -> Order:
        """The order with what has ever paid for it."""
        order = self.watched.order
        self.system.shop.payments.setdefault(order.order_id, []).append(tender.reference)
        return order.model_copy(update={"tenders": (*order.tenders, tender)})

    def _note(self, tender: Tender, **amounts: int) -> None:
        self.watched.changes.append(ChangedByOthers(words=f"tender {tender.tender_id} (", **amounts))

    # What it costs

    async def _correct_prices(self, repricing: Repricing) -> bool:
        """One line costs more, and another one less by as much. Once, while its first cancellation waits."""
        order, difference = self.watched.order, repricing.difference
        cases = await read_cases(self.system, order.order_id)
        if len(cases) != 1 or cases[0].ended or ActKind.PRICES_CORRECTED in self.done:
            return False
        changed = {repricing.up: difference, repricing.down: Money.zero(order.currency) - difference}
        lines = tuple(
            line.model_copy(update={"total": line.total + changed.get(line.line_id, Money.zero(order.currency))})
            for line in order.lines
        )
        totals = {line.line_id: line.total for line in lines if line.line_id in changed}
        await self.insist_on(lambda: built_in.change_prices(self.system.engine, order.order_id, totals))
        self.watched.order = order.model_copy(update={"lines": lines})
        self.watched.changes += [
            ChangedByOthers(words=f"line {line_id} costs", less=difference.amount, more=difference.amount)
            for line_id in changed
        ]
        return True
