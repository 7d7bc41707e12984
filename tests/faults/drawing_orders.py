"""Draws what is sold: lines, tenders and parcels of all kinds."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from domain.money import Money
from domain.order import OrderFlag, SaleCondition, TenderKind
from domain.shipment import ShipmentLine
from sandbox.carrier.model import Script
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleLine, SampleOrder, SampleParcel, SampleTender

T = TypeVar("T")

_CURRENCIES = ("USD", "USD", "USD", "USD", "EUR", "JPY", "KWD")

OLD = timedelta(days=40)
"""A second person has to approve, whatever it costs: the run waits."""


def step_of(currency: str) -> int:
    """The gateway takes amounts of three decimals that end with a zero."""
    return 10 if currency == "KWD" else 1


def _customer(order_id: str) -> str | None:
    """One whose mailbox is full or unknown, now and then; None: with a mailbox that takes all. Drawn for itself, so that a
    plan's other parts are what they were. No two orders have the same customer."""
    name = random.Random(order_id).choice((*(None,) * 8, "Mailbox-Full", "Unknown"))
    return name and f"{name}+{order_id}"


def _alike(line: SampleLine) -> SampleLine:
    """With units that cost the same, and without tax."""
    whole = line.total.amount - line.total.amount % line.quantity
    currency = line.total.currency
    return line.model_copy(update={"total": Money(amount=whole, currency=currency), "tax": Money.zero(currency)})


class OrderDraw:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(seed)

    def _one(self, among: Sequence[T]) -> T:
        return self._random.choice(among)

    def _number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def _happens(self, chance: float) -> bool:
        return self._random.random() < chance

    def draw_sample(self, order_id: str) -> SampleOrder:
        currency = self._one(_CURRENCIES)
        if self._happens(0.08):
            return self._sold_elsewhere(order_id, currency)
        lines = tuple(self._line(f"L{number}", currency) for number in range(1, self._number(1, 3) + 1))
        shipping = Money(amount=self._number(1, 9) * 100, currency=currency) if self._happens(0.4) else None
        price = Money.total((line.total for line in lines), currency)
        discount = self._share(price, self._number(1, 20), 100) if self._happens(0.15) else None
        paid = price + (shipping or Money.zero(currency)) - (discount or Money.zero(currency))
        return SampleOrder(
            order_id=order_id,
            lines=lines,
            tenders=self._tenders(paid),
            parcels=self._parcels(lines),
            shipping=shipping,
            shipping_tax=self._tax(shipping) if shipping and self._happens(0.5) else None,
            discount=discount,
            customer=_customer(order_id),
            flags=frozenset(flag for flag in OrderFlag if self._happens(0.06)),
            age=OLD if self._happens(0.05) else timedelta(days=1),
        )

    def draw_expensive(self, order_id: str) -> SampleOrder:
        """Of three lines each of which one person may cancel, and not all of them."""
        currency = self._one(("USD", "USD", "EUR"))
        lines = []
        for number in (1, 2, 3):
            total = Money(amount=self._number(17_000, 40_000), currency=currency)
            lines.append(SampleLine(line_id=f"L{number}", quantity=1, total=total, tax=self._tax(total)))
        paid = Money.total((line.total for line in lines), currency)
        return SampleOrder(order_id=order_id, lines=tuple(lines), tenders=self._tenders(paid))

    def draw_packed(self, order_id: str) -> SampleOrder:
        """All in one parcel, which the carrier has not fetched."""
        currency = self._one(_CURRENCIES)
        lines = tuple(self._line(f"L{number}", currency) for number in range(1, self._number(2, 3) + 1))
        units = tuple(ShipmentLine(line_id=line.line_id, quantity=line.quantity) for line in lines)
        parcel = SampleParcel(lines=units, script=Script.LABEL_ONLY)
        paid = Money.total((line.total for line in lines), currency)
        return SampleOrder(order_id=order_id, lines=lines, tenders=self._tenders(paid), parcels=(parcel,))

    def _sold_elsewhere(self, order_id: str, currency: str) -> SampleOrder:
        """On a marketplace, which settles it: no two sales may have lines of the same id, and each unit costs the same."""
        drawn = (self._line(f"{order_id}-L{number}", currency) for number in range(1, self._number(1, 3) + 1))
        lines = tuple(_alike(line) for line in drawn)
        paid = Money.total((sold.total for sold in lines), currency)
        tender = SampleTender(kind=TenderKind.MARKETPLACE, amount=paid)
        return SampleOrder(order_id=order_id, lines=lines, tenders=(tender,), parcels=self._parcels(lines))

    def _line(self, line_id: str, currency: str) -> SampleLine:
        quantity = self._number(1, 4)
        most = 30_000 if self._happens(0.2) else 4_000
        amount = self._number(5, most)
        condition = SaleCondition.REGULAR
        if self._happens(0.06):
            condition = self._one((SaleCondition.FINAL_SALE, SaleCondition.CUSTOMISED))
        amount = (amount * quantity + self._number(0, quantity - 1)) * step_of(currency)
        total = Money(amount=amount, currency=currency)
        return SampleLine(line_id=line_id, quantity=quantity, total=total, tax=self._tax(total), condition=condition)

    def _tax(self, total: Money) -> Money:
        rate = self._one((0, 5, 10, 19, 21))
        return total.share(rate, 100 + rate)

    def _tenders(self, paid: Money) -> tuple[SampleTender, ...]:
        kinds = self._one(
            (
                *((TenderKind.CARD,),) * 6,
                (TenderKind.GIFT_CARD, TenderKind.CARD),
                (TenderKind.STORE_CREDIT, TenderKind.CARD),
                *((TenderKind.CARD, TenderKind.CARD),) * 2,
                (TenderKind.GIFT_CARD, TenderKind.STORE_CREDIT, TenderKind.CARD),
                (TenderKind.GIFT_CARD,),
            )
        )
        shares = [self._share(paid, self._number(1, 9), 10 * len(kinds)) for _ in kinds[1:]]
        shares.append(paid - Money.total(shares, paid.currency))
        return tuple(self._tender(kind, part) for kind, part in zip(kinds, shares, strict=True) if part)

    @staticmethod
    def _share(amount: Money, part: int, whole: int) -> Money:
        return amount.share(part, whole).in_steps(step_of(amount.currency))

    def _tender(self, kind: TenderKind, amount: Money) -> SampleTender:
        if kind is not TenderKind.CARD:
            return SampleTender(kind=kind, amount=amount)
        if self._happens(0.08):
            return SampleTender(amount=amount, card=TestCard.DEBIT)
        part = self._share(amount, self._number(1, 9), 10)
        captured = self._one((None, None, None, Money.zero(amount.currency), part))
        card = self._one((TestCard.VISA,) * 6 + (TestCard.PENDING_REFUND,) * 3 + (TestCard.REFUND_FAILS,))
        before = self._share(amount if captured is None else captured, self._number(1, 10), 10)
        return SampleTender(
            amount=amount,
            captured=captured,
            card=card,
            mandate=self._happens(0.2),
            refunded_elsewhere=before if before and self._happens(0.1) else None,
        )

    def _parcels(self, lines: Sequence[SampleLine]) -> tuple[SampleParcel, ...]:
        """Up to three, with some units of some lines in each; what is in none is not packed yet."""
        left = {line.line_id: line.quantity for line in lines}
        parcels = []
        for _ in range(self._number(0, 3)):
            units = {name: self._number(0, count) for name, count in left.items()}
            packed = tuple(ShipmentLine(line_id=name, quantity=count) for name, count in units.items() if count)
            if not packed:
                continue
            left = {name: count - units[name] for name, count in left.items()}
            script = self._one((None, *(Script.LABEL_ONLY,) * 3, *Script))
            carrier = self._one(("UPS",) * 7 + ("FedEx",))
            parcels.append(SampleParcel(lines=packed, script=script, carrier=carrier))
        return tuple(parcels)
