"""What the customer and staff are notified of, in which words, and that they are written to."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.notices import Notice, address, write
from domain.errors import ErrorCode, Refused
from domain.money import money
from domain.order import Contact
from domain.outcome import Outcome, State
from domain.request import LineScope, ReasonCode
from domain.step import StepName
from domain.terms import RefundMethod
from providers.outbox.port import DueNotice, NewNotice, NoticeKind, NoticeLine
from sandbox.carrier.model import Script, TrackerStatus
from sandbox.gateway.messages import EffectKind
from sandbox.mailbox import ReceivedMail
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.activities.mailing import dispatcher
from tests.fixtures.mail import Mailbox
from tests.observing import eventually
from tests.providers.merchant import order
from tests.system import Handle, System, customer_of, resolve
from tests.workflows.samples import an_id, captured
from workflows.cancellation import CancellationWorkflow

LANGUAGES = ("en", "de")
TWO_LINES = (NoticeLine(line_id="L1", quantity=2, title="Cup"), NoticeLine(line_id="L2", quantity=1, title="Pot"))
MINIMUM = Notice(
    notice_id="can-O-1-abc/received",
    kind=NoticeKind.RECEIVED,
    order_id="O-1",
    email="customer@example.test",
    language="en",
    amount=money("1234.50 USD"),
    received_at=datetime(2026, 3, 1, 23, 59, 7, tzinfo=UTC),
)
TO_STAFF = (NoticeKind.APPROVAL_DUE, NoticeKind.APPROVAL_ESCALATED)
EVERYTHING = {"lines": TWO_LINES, "left_out": TWO_LINES, "note": "too large\ntoo late"}


def notice(**but: object) -> Notice:
    return MINIMUM.model_copy(update=but)


async def delivered(system: System, mailbox: Mailbox, sample: SampleOrder) -> list[ReceivedMail]:
    """The mails of one order after all that is due has been sent."""
    while await dispatcher(system.engine, mailbox).deliver_due(datetime.now(UTC)):
        pass
    return [mail for mail in mailbox.mails() if mail.to == f"{sample.customer_id.lower()}@customer.example"]


def subjects(mails: list[ReceivedMail]) -> list[str]:
    return sorted(mail.subject for mail in mails)


# Words


@pytest.mark.parametrize(
    "but",
    [{}, EVERYTHING, {"received_at": None}, {"received_at": None, **EVERYTHING}],
    ids=["little", "everything", "no withdrawal", "everything, no withdrawal"],
)
@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind not in TO_STAFF])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_can_be_written_in_every_language(language: str, kind: NoticeKind, but: dict[str, object]) -> None:
    if kind is NoticeKind.WITHDRAWAL_ACKNOWLEDGED:
        but = {**but, "received_at": MINIMUM.received_at}
    mail = write(notice(kind=kind, language=language, **but), "shop.example")
    assert "O-1" in mail.subject
    assert "\n" not in mail.subject
    assert mail.body.startswith({"en": "Hello,\n\n", "de": "Guten Tag,\n\n"}[language])
    assert mail.body.endswith("\n")
    assert "\n\n\n" not in mail.body
    assert not any(left in mail.subject + mail.body for left in ("{{", "{%", "None"))


@pytest.mark.parametrize("kind", TO_STAFF)
def test_staff_is_notified_what_to_decide_until_when_and_how(kind: NoticeKind) -> None:
    due = {"sentence": "640.00 USD is above the limit.", "due_at": datetime(2026, 3, 4, 9, 0, tzinfo=UTC)}
    mail = write(notice(kind=kind, **due), "shop.example")
    assert "O-1" in mail.subject
    assert "640.00 USD is above the limit." in mail.body
    assert "March 4, 2026, 9:00:00\u202fAM UTC" in mail.body
    assert "starter.py approve O-1" in mail.body


@pytest.mark.parametrize(
    ("tag", "subject"),
    [
        ("de-AT", "Die Bestellung O-1 ist storniert"),
        ("DE_ch", "Die Bestellung O-1 ist storniert"),
        ("en-GB", "Order O-1 is cancelled"),
        ("fr", "Order O-1 is cancelled"),
        ("", "Order O-1 is cancelled"),
        ("../de", "Order O-1 is cancelled"),
    ],
)
def test_the_customers_language_is_written_or_else_english(tag: str, subject: str) -> None:
    assert write(notice(kind=NoticeKind.CANCELLED, language=tag), "shop.example").subject == subject


@pytest.mark.parametrize(
    ("language", "amount", "figure"),
    [
        ("en", "1234.50 USD", "1,234.50 USD"),
        ("de", "1234.50 USD", "1.234,50 USD"),
        ("en", "9899 JPY", "9,899 JPY"),
        ("de", "9899 JPY", "9.899 JPY"),
        ("de", "12.345 KWD", "12,345 KWD"),
        ("de", "0.05 EUR", "0,05 EUR"),
        ("en", "12.345 IQD", "12.345 IQD"),
        ("de-CH", "1234.50 CHF", "1'234.50 CHF"),
        ("de_AT", "1234.50 EUR", "1.234,50 EUR"),
        ("fr-CH", "1234.50 CHF", "1,234.50 CHF"),
        ("de-no-such-place", "1234.50 EUR", "1.234,50 EUR"),
    ],
)
def test_amounts_are_written_as_the_language_does_with_the_currencys_decimals(
    language: str, amount: str, figure: str
) -> None:
    mail = write(notice(kind=NoticeKind.REFUNDED, language=language, amount=money(amount)), "shop.example")
    assert f" {figure} " in mail.body


# With what the order says


DUE = DueNotice(
    notice_id="can-O-1-abc/cancelled",
    order_id="O-1",
    content=NewNotice(
        kind=NoticeKind.CANCELLED,
        amount=money("12.00 USD"),
        lines=(NoticeLine(line_id="L1", quantity=2),),
        left_out=(NoticeLine(line_id="L-404", quantity=1),),
        note="too large",
    ),
    attempts=3,
)
SOLD = order().model_copy(update={"contact": Contact(email="anna@customer.example", language="de-AT")})


def test_a_notice_is_addressed_with_the_customers_language_and_the_titles_of_the_order() -> None:
    """A line that the order does not have keeps its id: a withdrawal is acknowledged as it was declared."""
    addressed = address(DUE, SOLD)
    assert (addressed.email, addressed.language) == ("anna@customer.example", "de-AT")
    assert (addressed.notice_id, addressed.order_id) == (DUE.notice_id, "O-1")
    assert addressed.lines == (NoticeLine(line_id="L1", quantity=2, title="A thing"),)
    assert addressed.left_out == (NoticeLine(line_id="L-404", quantity=1, title="L-404"),)
    kept = {name for name in NewNotice.model_fields if name not in {"lines", "left_out"}}
    assert all(getattr(addressed, name) == getattr(DUE.content, name) for name in kept)


def test_staff_is_written_to_in_english_at_the_mailbox_that_the_notice_names() -> None:
    due = DUE.model_copy(update={"content": DUE.content.model_copy(update={"to": "staff@shop.example"})})
    for of in (SOLD, SOLD.model_copy(update={"contact": None})):
        addressed = address(due, of)
        assert (addressed.email, addressed.language) == ("staff@shop.example", "en")


def test_a_customer_whose_address_nobody_knows_is_not_written_to() -> None:
    with pytest.raises(Refused) as nobody:
        address(DUE, SOLD.model_copy(update={"contact": None}))
    assert nobody.value.code is ErrorCode.MAIL_REFUSED


# What is said of a cancellation


async def test_a_released_reservation_is_not_called_a_refund(system: System, mailbox: Mailbox) -> None:
    """B1: nothing was taken, so nothing is paid back."""
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD", "0.00 USD"),)
    )
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    mails = await delivered(system, mailbox, sample)
    assert subjects(mails) == [
        f"Order {sample.order_id} is cancelled",
        f"The reservation for order {sample.order_id} is released",
        f"We have received a request to cancel order {sample.order_id}",
    ]
    [released] = [mail for mail in mails if "reservation" in mail.subject]
    assert "64.00 USD on your card" in released.body
    assert "nothing was charged" in released.body
    assert not any("refund" in mail.subject + mail.body for mail in mails)


async def test_the_customer_is_notified_of_each_thing_once(system: System, mailbox: Mailbox) -> None:
    """B2: a captured payment is refunded; nothing is said of a reservation."""
    sample = captured()
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    mails = await delivered(system, mailbox, sample)
    assert await dispatcher(system.engine, mailbox).deliver_due(datetime.now(UTC) + timedelta(days=1)) == 0
    assert subjects(mails) == [
        f"Order {sample.order_id} is cancelled",
        f"We have received a request to cancel order {sample.order_id}",
        f"Your refund for order {sample.order_id}",
    ]
    assert any("We have refunded 64.00 USD" in mail.body for mail in mails)
    assert not any("reservation" in mail.subject + mail.body for mail in mails)
    assert len({mail.message_id for mail in mails}) == 3


@pytest.mark.parametrize(
    ("method", "says", "bank"),
    [
        (RefundMethod.STORE_CREDIT, "You have it as store credit.", False),
        (RefundMethod.BANK_TRANSFER, "We have transferred the money to your bank account.", True),
    ],
)
async def test_the_customer_reads_by_which_way_they_have_the_money(
    system: System, mailbox: Mailbox, method: RefundMethod, says: str, bank: bool
) -> None:
    """B24: not the way they paid, which could not take it."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", fault="refund.create:refuse"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    await system.choose(handle, customer_of(sample), method)
    if method is RefundMethod.BANK_TRANSFER:
        await system.wait_for_wait(
            handle, lambda wait: "chose a bank transfer" in wait.reason, "it waits for the transfer"
        )
        await system.resolve(handle, resolve(StepName.REVERSE_PAYMENT, "T1", "done_by_hand", "BANK-7"))
    await system.finish(handle)
    mails = await delivered(system, mailbox, sample)
    [refunded] = [mail for mail in mails if mail.subject == f"Your refund for order {sample.order_id}"]
    assert says in refunded.body
    assert "the way you paid" not in refunded.body
    assert ("bank" in refunded.body) is bank


async def test_what_could_not_be_stopped_is_named_with_the_return_offer(system: System, mailbox: Mailbox) -> None:
    """C10: of three cups two were delivered, in two parcels."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"),),
        tenders=(card("90.00 USD"),),
        parcels=(parcel(Script.DELIVERED, L1=1), parcel(Script.DELIVERED, L1=1), parcel(Script.LABEL_ONLY, L1=1)),
    )
    await system.shop.place_order(sample)
    await system.cancel(request(sample))
    [cancelled] = [mail for mail in await delivered(system, mailbox, sample) if "is cancelled" in mail.subject]
    assert cancelled.subject == f"A part of order {sample.order_id} is cancelled"
    gone, _, kept = cancelled.body.partition("so they are not cancelled:")
    assert "- 1 × Article L1\n" in gone
    assert "- 2 × Article L1\n" in kept
    assert "send them back" in kept


async def test_goods_that_the_carrier_did_not_stop_are_a_return_offer(system: System, mailbox: Mailbox) -> None:
    """C7: nothing else was in the order."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_ACCEPTED_THEN_DELIVERED, L1=1),))
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.advance(timedelta(days=3).total_seconds())
    result = await system.end(handle)
    assert result.outcome is Outcome.REJECTED
    [notice] = [mail for mail in await delivered(system, mailbox, sample) if "was not cancelled" in mail.subject]
    assert "could no longer be stopped" in notice.body
    assert "- 1 × Article L1\n" in notice.body
    assert "continues as before" not in notice.body


async def test_who_cancels_a_run_at_the_engine_stands_in_the_mail_with_what_was_called_back(
    system: System, mailbox: Mailbox
) -> None:
    """P1: by Temporal's command line, while one of two parcels was on its way back. The customer had read that it would not
    arrive."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "30.00 USD"), line("L2", 2, "60.00 USD")),
        tenders=(card("90.00 USD"),),
        parcels=(parcel(Script.INTERCEPT_SILENT, L1=1), parcel(Script.INTERCEPT_SILENT, L2=2)),
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.scan(system.shop.labels[sample.order_id][0], TrackerStatus.RETURN_TO_SENDER)
    await system.wake_by_carrier(handle)

    async def is_written_about() -> bool:
        return "parcel_stopped" in [notice.kind.value for notice in await system.notices(sample.order_id)]

    await eventually(is_written_about, "the customer is written to about the parcel")
    await handle.cancel()
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    answer = resolve(StepName.RESUME_SHIPMENT, "S1", "done_by_hand", "SHIPMENT-77")
    await system.send(handle, CancellationWorkflow.resolve_step, answer)
    assert (await system.end(handle)).outcome is Outcome.ROLLED_BACK
    [mail] = [mail for mail in await delivered(system, mailbox, sample) if "was not cancelled" in mail.subject]
    assert "an administrator of our systems stopped the cancellation before it was complete" in mail.body
    _, _, called_back = mail.body.partition("We had stopped this item on its way to you:")
    assert "- 1 × Article L1\n" in called_back
    assert "Article L2" not in called_back


async def test_the_mail_about_a_refund_that_fails_names_the_other_ways(system: System, mailbox: Mailbox) -> None:
    """B23: the customer was notified that the refund had started, and is not left with that."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_SETTLEMENT)
    payment = system.shop.payments[sample.order_id][0]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(refund.object_id)
    await system.wake(handle)
    await system.wait_for_state(handle, State.NEEDS_ATTENTION)
    mails = await delivered(system, mailbox, sample)
    assert subjects(mails) == [
        f"Order {sample.order_id} is cancelled",
        f"We have received a request to cancel order {sample.order_id}",
        f"Your refund for order {sample.order_id} has started",
        f"Your refund for order {sample.order_id} is delayed",
    ]
    [failed] = [mail for mail in mails if "is delayed" in mail.subject]
    assert "- as store credit, at once\n- by bank transfer\n" in failed.body


# Statutory withdrawal


async def test_a_statutory_withdrawal_is_acknowledged_with_content_date_and_time(
    system: System, mailbox: Mailbox
) -> None:
    """A15: on a durable medium, in the customer's own words."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"), line("L2", 1, "10.00 USD")),
        tenders=(card("100.00 USD"),),
    )
    await system.shop.place_order(sample)
    asked = request(sample, LineScope(line_id="L1", quantity=2), reason=ReasonCode.STATUTORY_WITHDRAWAL)
    _, handle = await system.submit(asked.model_copy(update={"note": "Zu groß.\nI withdraw."}))
    await system.end(handle)
    mails = await delivered(system, mailbox, sample)
    [acknowledged] = [mail for mail in mails if "your withdrawal" in mail.subject]
    assert f"Order: {sample.order_id}\n" in acknowledged.body
    assert f"Received: {await _started_at(handle)} UTC\n" in acknowledged.body
    assert "- 2 × Article L1\n" in acknowledged.body
    assert "Article L2" not in acknowledged.body
    assert "> Zu groß.\n> I withdraw.\n" in acknowledged.body
    assert not any("request to cancel" in mail.subject for mail in mails)


async def test_a_withdrawal_from_delivered_goods_is_acknowledged_too_and_answered(
    system: System, mailbox: Mailbox
) -> None:
    """A15, C9: there is nothing to cancel, but the withdrawal was declared and its receipt is owed. That promises another
    mail."""
    sample = captured(parcels=(parcel(Script.DELIVERED, L1=1),))
    await system.shop.place_order(sample)
    result = await system.cancel(request(sample, reason=ReasonCode.STATUTORY_WITHDRAWAL))
    assert result.outcome is Outcome.REJECTED
    mail, answer = await delivered(system, mailbox, sample)
    assert mail.subject == f"We have received your withdrawal from order {sample.order_id}"
    assert "You withdraw from: the whole order\n" in mail.body
    assert "send them back within 14 days" in mail.body
    assert answer.subject == f"Your withdrawal from order {sample.order_id}"
    assert "The goods have been delivered" in answer.body


async def _started_at(handle: Handle) -> str:
    """When the request arrived and started the run; by the server's own record."""
    history = await handle.fetch_history()
    at = history.events[0].event_time.ToDatetime()
    return f"{at:%B} {at.day}, {at.year}, {at.hour % 12 or 12}:{at:%M:%S}\u202f{at:%p}"
