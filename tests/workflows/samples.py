"""Sample orders that several tests start from."""

from uuid import uuid4

from domain.money import money
from domain.order import TenderKind
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, SampleParcel, card, line, parcel, stored

__all__ = ["an_id", "bought_gift_card", "captured", "in_network", "split_tender"]


def an_id() -> str:
    """An order number of the test's own: gateway, carrier and server are shared by the session."""
    return uuid4().hex[:8]


def captured(
    *, fault: str = "", parcels: tuple[SampleParcel, ...] | None = None, total: str = "64.00 USD"
) -> SampleOrder:
    """Paid by card, captured, one label bought and not scanned."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, total),),
        tenders=(card(total, fault=fault),),
        parcels=(parcel(Script.LABEL_ONLY, L1=1),) if parcels is None else parcels,
    )


def in_network(script: Script) -> SampleOrder:
    return captured(parcels=(parcel(script, L1=1),))


def bought_gift_card(*, besides: str | None = None) -> SampleOrder:
    """A gift card over 50.00, sent by mail, and something `besides`."""
    others = (line("L2", 1, besides),) if besides else ()
    total = money("50.00 USD") + (money(besides) if besides else money("0.00 USD"))
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "50.00 USD"), *others),
        tenders=(card(str(total)),),
        parcels=(parcel(None, L1=1).model_copy(update={"gift_card": True}),),
    )


def split_tender() -> SampleOrder:
    """Gift card 10.00 and card 42.35."""
    return SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "52.35 USD"),),
        tenders=(stored(TenderKind.GIFT_CARD, "10.00 USD"), card("42.35 USD")),
    )
