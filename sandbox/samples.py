"""The sample orders of the demo: each differs in one thing, and says how its cancellation has to end."""

from collections.abc import Sequence
from enum import StrEnum

from domain.base import Value
from domain.money import Money, money
from domain.order import OrderFlag, SaleCondition, TenderKind
from domain.outcome import CancellationResult, GoodsStatus, MoneyStatus, Outcome, PaperStatus, State
from sandbox.carrier.model import Script
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, SampleParcel, SampleTender, card, line, parcel, stored


class Person(StrEnum):
    """What somebody does once the run waits for them."""

    APPROVES = "approves"
    REFUSES = "refuses"
    WITHDRAWS = "withdraws"
    SETTLES_DISPUTE = "settles_dispute"
    PAYS_THE_BUYER = "pays_the_buyer"

    @property
    def when(self) -> State:
        if self is self.PAYS_THE_BUYER:
            return State.WAITING_FOR_SETTLEMENT
        return State.NEEDS_ATTENTION if self is self.SETTLES_DISPUTE else State.WAITING_FOR_APPROVAL


class Ending(Value):
    """How a cancellation ended, as far as a customer, the warehouse and the accounts care."""

    outcome: Outcome
    goods: GoodsStatus
    money: MoneyStatus
    paper: PaperStatus
    refunded: Money
    released: Money

    @classmethod
    def of(cls, result: CancellationResult, currency: str) -> "Ending":
        nothing = Money.zero(currency)
        return cls(
            outcome=result.outcome,
            goods=result.goods,
            money=result.money,
            paper=result.paper,
            refunded=result.refunded or nothing,
            released=result.released or nothing,
        )


class Sample(Value):
    """`person` acts when the run waits for them."""

    title: str
    order: SampleOrder
    expected: Ending
    person: Person | None = None

    @property
    def order_id(self) -> str:
        return self.order.order_id


def _order(
    number: int,
    total: str,
    *tenders: SampleTender,
    parcels: Sequence[SampleParcel] = (),
    tax: str | None = None,
    flags: frozenset[OrderFlag] = frozenset(),
) -> SampleOrder:
    """One article for `total`."""
    return SampleOrder(
        order_id=str(number), lines=(line("L1", 1, total, tax),), tenders=tenders, parcels=tuple(parcels), flags=flags
    )


def _in_parcel(script: Script | None) -> tuple[SampleParcel, ...]:
    return (parcel(script, L1=1),)


def _refunded(
    amount: str, goods: GoodsStatus = GoodsStatus.NEVER_HANDED_OVER, *, released: str | None = None
) -> Ending:
    """Cancelled, with a credit note for `amount`."""
    back = money(amount)
    return Ending(
        outcome=Outcome.CANCELLED,
        goods=goods,
        money=MoneyStatus.REFUNDED,
        paper=PaperStatus.CREDITED,
        refunded=back,
        released=money(released) if released else Money.zero(back.currency),
    )


def _not_cancelled(outcome: Outcome, goods: GoodsStatus) -> Ending:
    nothing = Money.zero("USD")
    return Ending(
        outcome=outcome,
        goods=goods,
        money=MoneyStatus.UNTOUCHED,
        paper=PaperStatus.UNTOUCHED,
        refunded=nothing,
        released=nothing,
    )


SLOW_REFUND = "1012"
"""The order whose refund the gateway takes its time for."""
MARKETPLACE_ORDER = "1021"
"""The order whose money never was at the gateway."""
SETTLES_LATER = "1018"
"""The order whose refund is pending for some seconds."""

_LABEL = _in_parcel(Script.LABEL_ONLY)

SAMPLES: Sequence[Sample] = (
    Sample(
        title="authorised only",
        order=_order(1001, "64.00 USD", card("64.00 USD", "0.00 USD")),
        expected=_refunded("0.00 USD", released="64.00 USD").model_copy(
            update={"money": MoneyStatus.RELEASED, "paper": PaperStatus.NONE_NEEDED}
        ),
    ),
    Sample(
        title="captured, label bought",
        order=_order(1002, "64.00 USD", card("64.00 USD"), tax="10.22 USD", parcels=_LABEL),
        expected=_refunded("64.00 USD"),
    ),
    Sample(
        title="50 of 106 captured",
        order=_order(1003, "106.00 USD", card("106.00 USD", "50.00 USD")),
        expected=_refunded("50.00 USD", released="56.00 USD"),
    ),
    Sample(
        title="gift card 10.00, card 42.35",
        order=_order(1004, "52.35 USD", stored(TenderKind.GIFT_CARD, "10.00 USD"), card("42.35 USD")),
        expected=_refunded("52.35 USD"),
    ),
    Sample(
        title="a label and an open pick",
        order=SampleOrder(
            order_id="1005",
            lines=(line("L1", 1, "30.00 USD"), line("L2", 1, "20.00 USD")),
            tenders=(card("50.00 USD"),),
            parcels=(parcel(Script.LABEL_ONLY, L1=1), parcel(None, L2=1)),
        ),
        expected=_refunded("50.00 USD"),
    ),
    Sample(
        title="on its way, comes back",
        order=_order(1006, "64.00 USD", card("64.00 USD"), parcels=_in_parcel(Script.INTERCEPT_ACCEPTED_THEN_RETURNS)),
        expected=_refunded("64.00 USD", GoodsStatus.COMING_BACK),
    ),
    Sample(
        title="delivered already",
        order=_order(1007, "64.00 USD", card("64.00 USD"), parcels=_in_parcel(Script.DELIVERED)),
        expected=_not_cancelled(Outcome.REJECTED, GoodsStatus.UNTOUCHED),
    ),
    Sample(
        title="payment disputed at the bank",
        order=_order(1008, "64.00 USD", card("64.00 USD", disputed=True), parcels=_LABEL),
        person=Person.SETTLES_DISPUTE,
        expected=_refunded("64.00 USD").model_copy(update={"money": MoneyStatus.BY_HAND}),
    ),
    Sample(
        title="yen: no decimals",
        order=_order(1009, "9899 JPY", card("9899 JPY"), tax="899 JPY"),
        expected=_refunded("9899 JPY"),
    ),
    Sample(
        title="dinar: three decimals",
        order=_order(1010, "12.340 KWD", card("12.340 KWD")),
        expected=_refunded("12.340 KWD"),
    ),
    Sample(
        title="gateway's answer is lost",
        order=_order(1011, "64.00 USD", card("64.00 USD", fault="refund.create:drop_after_commit")),
        expected=_refunded("64.00 USD"),
    ),
    Sample(
        title="gateway takes 5 seconds",
        order=_order(1012, "64.00 USD", card("64.00 USD", fault="refund.create:slow")),
        expected=_refunded("64.00 USD"),
    ),
    Sample(
        title="gateway busy, then broken",
        order=_order(
            1013, "64.00 USD", card("64.00 USD", fault="refund.create:http_429, refund.create:http_500_before")
        ),
        expected=_refunded("64.00 USD"),
    ),
    Sample(
        title="carrier declines to stop it",
        order=_order(1014, "64.00 USD", card("64.00 USD"), parcels=_in_parcel(Script.INTERCEPT_DECLINED)),
        expected=_not_cancelled(Outcome.REJECTED, GoodsStatus.NOT_STOPPED),
    ),
    Sample(
        title="above the limit, approved",
        order=_order(1015, "640.00 USD", card("640.00 USD"), tax="102.18 USD", parcels=_LABEL),
        person=Person.APPROVES,
        expected=_refunded("640.00 USD"),
    ),
    Sample(
        title="above the limit, withdrawn",
        order=_order(1016, "640.00 USD", card("640.00 USD"), parcels=_LABEL),
        person=Person.WITHDRAWS,
        expected=_not_cancelled(Outcome.WITHDRAWN, GoodsStatus.UNTOUCHED),
    ),
    Sample(
        title="fraud review, refused",
        order=_order(1017, "64.00 USD", card("64.00 USD"), parcels=_LABEL, flags=frozenset({OrderFlag.FRAUD_REVIEW})),
        person=Person.REFUSES,
        expected=_not_cancelled(Outcome.ROLLED_BACK, GoodsStatus.MOVING_AGAIN),
    ),
    Sample(
        title="refund settles later",
        order=_order(int(SETTLES_LATER), "52.35 USD", card("52.35 USD", card=TestCard.PENDING_REFUND)),
        expected=_refunded("52.35 USD"),
    ),
    Sample(
        title="5.00 of 12.72 back earlier",
        order=_order(1019, "12.72 USD", card("12.72 USD", refunded_elsewhere=money("5.00 USD"))),
        expected=_refunded("7.72 USD"),
    ),
    Sample(
        title="2 of 3 parcels delivered",
        order=SampleOrder(
            order_id="1020",
            lines=(line("L1", 3, "90.00 USD"),),
            tenders=(card("99.00 USD"),),
            shipping=money("9.00 USD"),
            parcels=(parcel(Script.DELIVERED, L1=1), parcel(Script.DELIVERED, L1=1), parcel(Script.LABEL_ONLY, L1=1)),
        ),
        expected=_refunded("33.00 USD", GoodsStatus.PARTLY_STOPPED).model_copy(
            update={"outcome": Outcome.PARTIALLY_CANCELLED}
        ),
    ),
    Sample(
        title="sold on a marketplace",
        order=SampleOrder(
            order_id=MARKETPLACE_ORDER,
            lines=(line("1021-L1", 1, "64.00 USD").model_copy(update={"commission": money("9.60 USD")}),),
            tenders=(stored(TenderKind.MARKETPLACE, "64.00 USD"),),
        ),
        person=Person.PAYS_THE_BUYER,
        expected=_refunded("64.00 USD"),
    ),
    Sample(
        title="bought gift card, unused",
        order=_order(
            1022,
            "50.00 USD",
            card("50.00 USD"),
            parcels=(parcel(None, L1=1).model_copy(update={"gift_card": True}),),
        ),
        expected=_refunded("50.00 USD", GoodsStatus.STOPPED),
    ),
    Sample(
        title="made to specification",
        order=SampleOrder(
            order_id="1023",
            lines=(line("L1", 1, "64.00 USD").model_copy(update={"condition": SaleCondition.CUSTOMISED}),),
            tenders=(card("64.00 USD"),),
        ),
        expected=_not_cancelled(Outcome.REJECTED, GoodsStatus.UNTOUCHED),
    ),
)

TO_TRY: Sequence[SampleOrder] = (
    *(_order(number, "64.00 USD", card("64.00 USD"), parcels=_LABEL) for number in range(2001, 2008)),
    *(_order(number, "640.00 USD", card("640.00 USD"), parcels=_LABEL) for number in (2016, 2017)),
)
"""Orders that nobody has cancelled yet: `make up` leaves them for whoever tries it, and the documents use them."""

WAITING: Sequence[tuple[str, SampleOrder]] = (
    ("a second person: approve, or reject", _order(3001, "640.00 USD", card("640.00 USD"), parcels=_LABEL)),
    (
        "the carrier, about an intercept",
        _order(3002, "64.00 USD", card("64.00 USD"), parcels=_in_parcel(Script.INTERCEPT_SILENT)),
    ),
    (
        "the marketplace, to pay its buyer",
        SampleOrder(
            order_id="3003",
            lines=(line("3003-L1", 1, "64.00 USD").model_copy(update={"commission": money("9.60 USD")}),),
            tenders=(stored(TenderKind.MARKETPLACE, "64.00 USD"),),
        ),
    ),
    (
        "the refund department: the bank disputes the payment",
        _order(3004, "64.00 USD", card("64.00 USD", disputed=True)),
    ),
    (
        "the customer: the card takes no refund",
        _order(3005, "64.00 USD", card("64.00 USD", card=TestCard.REFUND_FAILS)).model_copy(update={"language": "de"}),
    ),
)
"""What `make up` leaves waiting, one of each kind, with whom it waits for. The customer of the last one reads German."""
