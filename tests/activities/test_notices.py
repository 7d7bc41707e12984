"""What the customer is told, in which words; the outbox is delivered to a real mail server, later when that is down, and
once."""

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from activities.notices import NoticeDispatcher, write
from domain.money import money
from domain.outcome import Outcome, State
from domain.request import LineScope, ReasonCode
from providers.mail.smtp import SmtpMailer
from providers.order_book.book import SqlOrderBook
from providers.outbox.port import NewNotice, Notice, NoticeKind, NoticeLine
from runtime.shutdown import cancel_and_wait
from sandbox import books
from sandbox.carrier.model import Script
from sandbox.gateway.messages import EffectKind
from sandbox.mailbox import ReceivedMail
from sandbox.shop import SampleOrder, card, line, parcel, request
from tests.fixtures.mail import Mailbox
from tests.providers.order_book_samples import cancellation, hold, order
from tests.system import Handle, System, eventually
from tests.workflows.samples import an_id, captured

LANGUAGES = ("en", "de")
TWO_LINES = (NoticeLine(line_id="L1", quantity=2, title="Cup"), NoticeLine(line_id="L2", quantity=1, title="Pot"))
MINIMUM = Notice(
    notice_id="can-O-1-abc/received",
    kind=NoticeKind.RECEIVED,
    order_id="O-1",
    email="customer@example.test",
    language="en",
    attempts=1,
    amount=money("1234.50 USD"),
    received_at=datetime(2026, 3, 1, 23, 59, 7, tzinfo=UTC),
)
TO_STAFF = (NoticeKind.APPROVAL_DUE, NoticeKind.APPROVAL_ESCALATED)
EVERYTHING = {"lines": TWO_LINES, "left_out": TWO_LINES, "note": "too large\ntoo late", "outcome": Outcome.REJECTED}


def notice(**but: object) -> Notice:
    return MINIMUM.model_copy(update=but)


def dispatcher(book: SqlOrderBook, mailbox: Mailbox) -> NoticeDispatcher:
    return NoticeDispatcher(book, mailbox.mailer(), "shop.example")


async def delivered(system: System, mailbox: Mailbox, sample: SampleOrder) -> list[ReceivedMail]:
    """The mails of one order after all that is due has been sent."""
    while await dispatcher(system.book, mailbox).deliver_due(datetime.now(UTC)):
        pass
    return [mail for mail in mailbox.mails() if mail.to == f"{sample.customer_id.lower()}@customer.example"]


def subjects(mails: list[ReceivedMail]) -> list[str]:
    return sorted(mail.subject for mail in mails)


async def put(book: SqlOrderBook, database: AsyncEngine, *notices: NewNotice, email: str, language: str = "en") -> str:
    """An order with these notices in the outbox; the address and the language are the customer's."""
    order_id = an_id()
    placed = order(order_id).model_copy(update={"customer_id": f"C-{order_id}"})
    await books.add_order(database, placed, email=email, language=language)
    await hold(book, cancellation(placed), notices)
    return order_id


# Words


@pytest.mark.parametrize(
    "but", [{}, EVERYTHING, {"outcome": Outcome.WITHDRAWN}], ids=["little", "everything", "withdrawn"]
)
@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind not in TO_STAFF])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_can_be_told_in_every_language(language: str, kind: NoticeKind, but: dict[str, object]) -> None:
    mail = write(notice(kind=kind, language=language, **but), "shop.example")
    assert "O-1" in mail.subject
    assert "\n" not in mail.subject
    assert mail.body.startswith({"en": "Hello,\n\n", "de": "Guten Tag,\n\n"}[language])
    assert mail.body.endswith("\n")
    assert "\n\n\n" not in mail.body
    assert not any(left in mail.subject + mail.body for left in ("{{", "{%", "None"))


@pytest.mark.parametrize("kind", TO_STAFF)
def test_staff_is_told_what_to_decide_until_when_and_how(kind: NoticeKind) -> None:
    due = {"sentence": "640.00 USD is above the limit.", "due_at": datetime(2026, 3, 4, 9, 0, tzinfo=UTC)}
    mail = write(notice(kind=kind, **due), "shop.example")
    assert "O-1" in mail.subject
    assert "640.00 USD is above the limit." in mail.body
    assert "2026-03-04 09:00 UTC" in mail.body
    assert "starter.py approve O-1" in mail.body


async def test_a_notice_to_staff_goes_to_their_mailbox_in_english_and_not_to_the_customer(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    staff, customer = f"{an_id()}@shop.example", f"{an_id()}@customer.example"
    due = NewNotice(
        kind=NoticeKind.APPROVAL_DUE, to=staff, sentence="It is large.", due_at=datetime(2026, 3, 4, tzinfo=UTC)
    )
    await put(order_book, database, due, email=customer, language="de")
    await dispatcher(order_book, mailbox).deliver_due(datetime.now(UTC))
    [mail] = [mail for mail in mailbox.mails() if mail.to == staff]
    assert mail.subject.startswith("Approval due")
    assert not [mail for mail in mailbox.mails() if mail.to == customer]


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
    ],
)
def test_amounts_are_written_as_the_language_does_with_the_currencys_decimals(
    language: str, amount: str, figure: str
) -> None:
    mail = write(notice(kind=NoticeKind.REFUNDED, language=language, amount=money(amount)), "shop.example")
    assert f" {figure} " in mail.body


async def test_a_released_reservation_is_not_called_a_refund(system: System, mailbox: Mailbox) -> None:
    """B1: nothing was taken, so nothing is paid back."""
    sample = SampleOrder(
        order_id=an_id(), lines=(line("L1", 2, "64.00 USD"),), tenders=(card("64.00 USD", "0.00 USD"),)
    )
    await system.shop.place(sample)
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


async def test_the_customer_is_told_each_thing_once(system: System, mailbox: Mailbox) -> None:
    """B2: a captured payment is refunded; nothing is said of a reservation."""
    sample = captured()
    await system.shop.place(sample)
    await system.cancel(request(sample))
    mails = await delivered(system, mailbox, sample)
    assert await dispatcher(system.book, mailbox).deliver_due(datetime.now(UTC) + timedelta(days=1)) == 0
    assert subjects(mails) == [
        f"Order {sample.order_id} is cancelled",
        f"We have received a request to cancel order {sample.order_id}",
        f"Your refund for order {sample.order_id}",
    ]
    assert any("we have refunded 64.00 USD" in mail.body for mail in mails)
    assert not any("reservation" in mail.subject + mail.body for mail in mails)
    assert len({mail.message_id for mail in mails}) == 3


async def test_what_could_not_be_stopped_is_named_with_the_return_offer(system: System, mailbox: Mailbox) -> None:
    """C10: of three cups two were delivered, in two parcels."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 3, "90.00 USD"),),
        tenders=(card("90.00 USD"),),
        parcels=(parcel(Script.DELIVERED, L1=1), parcel(Script.DELIVERED, L1=1), parcel(Script.LABEL_ONLY, L1=1)),
    )
    await system.shop.place(sample)
    await system.cancel(request(sample))
    [cancelled] = [mail for mail in await delivered(system, mailbox, sample) if "is cancelled" in mail.subject]
    assert cancelled.subject == f"A part of order {sample.order_id} is cancelled"
    gone, _, kept = cancelled.body.partition("They are not cancelled:")
    assert "- 1 × Article L1\n" in gone
    assert "- 2 × Article L1\n" in kept
    assert "send them back" in kept


async def test_goods_that_the_carrier_did_not_stop_are_a_return_offer(system: System, mailbox: Mailbox) -> None:
    """C7: nothing else was in the order."""
    sample = captured(parcels=(parcel(Script.INTERCEPT_ACCEPTED_THEN_DELIVERED, L1=1),))
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_CARRIER)
    await system.shop.carrier.advance(timedelta(days=3).total_seconds())
    result = await system.end(handle)
    assert result.outcome is Outcome.REJECTED
    [told] = [mail for mail in await delivered(system, mailbox, sample) if "was not cancelled" in mail.subject]
    assert "could not be stopped" in told.body
    assert "- 1 × Article L1\n" in told.body
    assert "goes on as before" not in told.body


async def test_a_refund_that_fails_is_told_with_the_other_ways(system: System, mailbox: Mailbox) -> None:
    """B23: the customer was told that the refund had started, and is not left with that."""
    sample = captured().model_copy(update={"tenders": (card("64.00 USD", card="pm_card_pendingRefund"),)})
    await system.shop.place(sample)
    _, handle = await system.submit(request(sample))
    await system.waits_for(handle, State.WAITING_FOR_SETTLEMENT)
    payment = system.shop.payments[sample.order_id][0]
    [refund] = await system.shop.gateway.effects(payment, EffectKind.REFUND_CREATED)
    await system.shop.gateway.fail(refund.object_id)
    await system.wake(handle)
    await system.waits_for(handle, State.NEEDS_ATTENTION)
    mails = await delivered(system, mailbox, sample)
    assert subjects(mails) == [
        f"Order {sample.order_id} is cancelled",
        f"We have received a request to cancel order {sample.order_id}",
        f"Your refund for order {sample.order_id} has started",
        f"Your refund for order {sample.order_id} takes longer",
    ]
    [failed] = [mail for mail in mails if "takes longer" in mail.subject]
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
    await system.shop.place(sample)
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


async def test_a_withdrawal_from_delivered_goods_is_acknowledged_too(system: System, mailbox: Mailbox) -> None:
    """A15, C9: there is nothing to cancel, but the withdrawal was declared and its receipt is owed."""
    sample = captured(parcels=(parcel(Script.DELIVERED, L1=1),))
    await system.shop.place(sample)
    result = await system.cancel(request(sample, reason=ReasonCode.STATUTORY_WITHDRAWAL))
    assert result.outcome is Outcome.REJECTED
    [mail] = await delivered(system, mailbox, sample)
    assert mail.subject == f"We have received your withdrawal from order {sample.order_id}"
    assert "You withdraw from: the whole order\n" in mail.body
    assert "send them back within 14 days" in mail.body


async def _started_at(handle: Handle) -> str:
    """When the request arrived and started the run; by the server's own record."""
    history = await handle.fetch_history()
    return f"{history.events[0].event_time.ToDatetime():%Y-%m-%d %H:%M:%S}"


# Delivery


async def test_a_mail_server_that_is_down_holds_no_cancellation_up(system: System, mailbox: Mailbox) -> None:
    """D8: the mails go out later."""
    sample = captured()
    await system.shop.place(sample)
    down = NoticeDispatcher(system.book, SmtpMailer("127.0.0.1", 1, "shop@example.com"), "shop.example")
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    now = datetime.now(UTC)
    assert await down.deliver_due(now) == 0
    delayed = await books.notices(system.engine)
    assert all(one.sent_at is None and one.delayed_why for one in delayed)
    up = dispatcher(system.book, mailbox)
    assert await up.deliver_due(now) == 0
    assert await up.deliver_due(now + timedelta(hours=2)) == len(delayed)


async def test_a_german_customer_gets_german_mail(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    email = f"{an_id()}@customer.example"
    refunded = NewNotice(kind=NoticeKind.REFUNDED, amount=money("1234.50 EUR"))
    order_id = await put(order_book, database, refunded, email=email, language="de")
    await dispatcher(order_book, mailbox).deliver_due(datetime.now(UTC))
    [mail] = [mail for mail in mailbox.mails() if mail.to == email]
    assert mail.subject == f"Ihre Rückzahlung zur Bestellung {order_id}"
    assert "1.234,50 EUR" in mail.body
    assert "zurückgezahlt" in mail.body


async def test_a_notice_whose_sender_died_is_sent_again_under_the_same_message_id(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    """D8: killed after the mail server took the mail and before that was noted."""
    email = f"{an_id()}@customer.example"
    await put(order_book, database, NewNotice(kind=NoticeKind.CANCELLED), email=email)
    now = datetime.now(UTC)
    [claimed] = await order_book.due_notices(now, 10)
    async with mailbox.mailer().connection() as connection:
        await connection.send(write(claimed, "shop.example"))
    assert await dispatcher(order_book, mailbox).deliver_due(now + timedelta(seconds=59)) == 0
    assert await dispatcher(order_book, mailbox).deliver_due(now + timedelta(seconds=60)) == 1
    first, second = [mail for mail in mailbox.mails() if mail.to == email]
    assert first == second
    assert first.message_id == f"<{claimed.notice_id.replace('/', '.')}@shop.example>"


async def test_a_notice_that_cannot_be_written_holds_no_other_up(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    """A refund without its amount is a programming error: logged, never mailed with a gap, tried again later."""
    email = f"{an_id()}@customer.example"
    broken = NewNotice(kind=NoticeKind.REFUNDED)
    await put(order_book, database, broken, email=email)
    await put(order_book, database, broken, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    now = datetime.now(UTC)
    with capture_logs() as logs:
        assert await dispatcher(order_book, mailbox).deliver_due(now) == 1
    assert [mail.subject.partition(" order")[0] for mail in mailbox.mails() if mail.to == email] == [
        "We have received a request to cancel"
    ]
    failed = [entry for entry in logs if entry["event"] == "notice_failed"]
    assert [(entry["log_level"], entry["error"], entry["kind"]) for entry in failed] == [
        ("error", "UndefinedError", "refunded")
    ] * 2
    assert all("refunded.txt" in entry["where"] for entry in failed)
    assert email not in repr(logs)
    waiting = [one for one in await books.notices(database) if one.kind is NoticeKind.REFUNDED]
    assert all(one.due_at > now and one.delayed_why and one.sent_at is None for one in waiting)


async def test_an_address_that_does_not_exist_is_noted_once(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    await put(order_book, database, NewNotice(kind=NoticeKind.RECEIVED), email="unknown@customer.example")
    await put(order_book, database, NewNotice(kind=NoticeKind.RECEIVED), email="mailbox-full@customer.example")
    now = datetime.now(UTC)
    with capture_logs() as logs:
        await dispatcher(order_book, mailbox).deliver_due(now)
        await dispatcher(order_book, mailbox).deliver_due(now + timedelta(hours=2))
    unknown, full = await books.notices(database)
    assert unknown.refused_why is not None
    assert unknown.attempts == 1
    assert full.refused_why is None
    assert full.attempts == 2
    assert [entry["event"] for entry in logs] == ["notice_refused", "notice_delayed", "notice_delayed"]
    assert "customer.example" not in repr(logs)


async def test_a_wrong_password_for_the_mail_server_gives_no_notice_up(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    email = f"{an_id()}@customer.example"
    await put(order_book, database, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    now = datetime.now(UTC)
    async with strict_mail_server() as port:
        stranger = SmtpMailer("127.0.0.1", port, "shop@example.com", "shop", "wrong")
        assert await NoticeDispatcher(order_book, stranger, "shop.example").deliver_due(now) == 0
    [delayed] = await books.notices(database)
    assert delayed.refused_why is None
    assert "password" in (delayed.delayed_why or "")
    assert await dispatcher(order_book, mailbox).deliver_due(now + timedelta(hours=2)) == 1


async def test_however_long_the_mail_server_is_down_a_notice_is_tried_every_hour(
    order_book: SqlOrderBook, database: AsyncEngine
) -> None:
    """D8: after days, too."""
    await put(order_book, database, NewNotice(kind=NoticeKind.RECEIVED), email="customer@example.test")
    async with database.begin() as connection:
        await connection.execute(text("UPDATE notices SET attempts = 10000"))
    now = datetime.now(UTC)
    down = NoticeDispatcher(order_book, SmtpMailer("127.0.0.1", 1, "shop@example.com"), "shop.example")
    assert await down.deliver_due(now) == 0
    [delayed] = await books.notices(database)
    assert delayed.due_at == now + timedelta(hours=1)


async def test_the_dispatcher_outlives_what_it_did_not_expect(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    """The outbox is gone for a while, which is no outage that it knows of."""
    email = f"{an_id()}@customer.example"
    await put(order_book, database, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    await _execute(database, "ALTER TABLE notices RENAME TO notices_elsewhere")
    with capture_logs() as logs:
        running = asyncio.create_task(dispatcher(order_book, mailbox).run(timedelta(milliseconds=10)))

        async def logged() -> bool:
            return any(entry["event"] == "outbox_failed" for entry in logs)

        async def arrived() -> bool:
            return any(mail.to == email for mail in mailbox.mails())

        await eventually(logged, "the dispatcher says what it met")
        await _execute(database, "ALTER TABLE notices_elsewhere RENAME TO notices")
        await eventually(arrived, "the mail arrives")
        assert not running.done()
        await cancel_and_wait(running)
    assert email not in repr(logs)


async def test_a_full_batch_is_followed_by_the_next_at_once(
    order_book: SqlOrderBook, database: AsyncEngine, mailbox: Mailbox
) -> None:
    """D12: a bulk cancellation does not wait a pause for every twenty mails."""
    email = f"{an_id()}@customer.example"
    for _ in range(21):
        await put(order_book, database, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    running = asyncio.create_task(dispatcher(order_book, mailbox).run(timedelta(hours=1)))

    async def arrived() -> bool:
        return sum(mail.to == email for mail in mailbox.mails()) == 21

    await eventually(arrived, "all mails arrive")
    await cancel_and_wait(running)


async def _execute(database: AsyncEngine, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement))


@contextlib.asynccontextmanager
async def strict_mail_server() -> AsyncIterator[int]:
    """The port of a mail server that knows no password of ours."""

    def knows_nobody(*_: object) -> AuthResult:
        return AuthResult(success=False, handled=False)

    def session() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of passwords without encryption
            return SMTP(object(), authenticator=knows_nobody, auth_require_tls=False, auth_required=True)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
