"""The outbox is delivered to a real mail server, later when that is down, and once."""

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

from activities.notices import NoticeDispatcher, address, write
from domain.closing import Closing
from domain.errors import ErrorCode, Refused, Unavailable
from domain.keys import EffectKey
from domain.money import money
from domain.order import Order
from domain.outcome import Outcome
from providers.books.books import SqlBooks
from providers.mail.smtp import SmtpMailer
from providers.orders.built_in.orders import BuiltInOrders
from providers.orders.plain import PlainOrders
from providers.outbox.port import NewNotice, NoticeKind
from runtime.shutdown import cancel_and_wait
from sandbox import books
from sandbox.shop import request
from tests.activities.mailing import dispatcher, put
from tests.fixtures.mail import Mailbox
from tests.providers.merchant import order
from tests.system import System, eventually
from tests.workflows.samples import an_id, captured


async def test_a_notice_to_staff_goes_to_their_mailbox_in_english_and_not_to_the_customer(
    database: AsyncEngine, mailbox: Mailbox
) -> None:
    staff, customer = f"{an_id()}@shop.example", f"{an_id()}@customer.example"
    due = NewNotice(
        kind=NoticeKind.APPROVAL_DUE, to=staff, sentence="It is large.", due_at=datetime(2026, 3, 4, tzinfo=UTC)
    )
    await put(database, due, email=customer, language="de")
    await dispatcher(database, mailbox).deliver_due(datetime.now(UTC))
    [mail] = [mail for mail in mailbox.mails() if mail.to == staff]
    assert mail.subject.startswith("Approval due")
    assert not [mail for mail in mailbox.mails() if mail.to == customer]


# To whom


async def test_a_notice_goes_to_where_the_customer_is_written_to_when_it_is_sent(
    database: AsyncEngine, mailbox: Mailbox
) -> None:
    """Neither address nor language is kept with it: the order management system knows them."""
    before, after = f"{an_id()}@customer.example", f"{an_id()}@customer.example"
    order_id = await put(database, NewNotice(kind=NoticeKind.CANCELLED), email=before)
    moved = text("UPDATE customers SET email = :email, language = 'de' WHERE customer_id = :customer")
    async with database.begin() as connection:
        await connection.execute(moved, {"email": after, "customer": f"C-{order_id}"})

    assert await dispatcher(database, mailbox).deliver_due(datetime.now(UTC)) == 1

    [mail] = [mail for mail in mailbox.mails() if mail.to in {before, after}]
    assert (mail.to, mail.subject) == (after, f"Die Bestellung {order_id} ist storniert")


class ShopWith(PlainOrders):
    """Answers with this order, or raises."""

    def __init__(self, answer: Order | Exception) -> None:
        self.answer = answer

    async def read(self, order_id: str) -> Order:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self, order_id: str, closing: Closing, before: Closing | None, *, key: EffectKey) -> None:
        raise AssertionError("a notice closes no order")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (order(), "knows no address of the customer of order"),
        (Refused(ErrorCode.ORDER_NOT_FOUND, "The order management system has no such order."), "has no such order"),
    ],
    ids=["no address", "no order"],
)
async def test_a_notice_that_can_go_to_nobody_is_given_up(
    database: AsyncEngine, mailbox: Mailbox, answer: Order | Exception, why: str
) -> None:
    await put(database, NewNotice(kind=NoticeKind.RECEIVED), email="customer@example.test")
    now = datetime.now(UTC)
    nobody = NoticeDispatcher(SqlBooks(database), ShopWith(answer), mailbox.mailer(), "shop.example")

    assert await nobody.deliver_due(now) == 0

    [given_up] = await books.notices(database)
    assert why in (given_up.refused_why or "")
    assert await dispatcher(database, mailbox).deliver_due(now + timedelta(days=1)) == 0


async def test_an_order_management_system_that_is_down_gives_no_notice_up(
    database: AsyncEngine, mailbox: Mailbox
) -> None:
    """D8: it is tried again like one of a mail server that is down."""
    await put(database, NewNotice(kind=NoticeKind.RECEIVED), email="customer@example.test")
    now = datetime.now(UTC)
    shop = ShopWith(Unavailable("The shop does not answer."))
    down = NoticeDispatcher(SqlBooks(database), shop, mailbox.mailer(), "shop.example")

    assert await down.deliver_due(now) == 0

    [delayed] = await books.notices(database)
    assert (delayed.refused_why, delayed.delayed_why) == (None, "The shop does not answer.")
    assert delayed.due_at > now
    assert await dispatcher(database, mailbox).deliver_due(now + timedelta(hours=2)) == 1


# Later, and once


async def test_a_mail_server_that_is_down_holds_no_cancellation_up(system: System, mailbox: Mailbox) -> None:
    """D8: the mails go out later."""
    sample = captured()
    await system.shop.place_order(sample)
    down = NoticeDispatcher(system.books, system.orders, SmtpMailer("127.0.0.1", 1, "shop@example.com"), "shop.example")
    result = await system.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    now = datetime.now(UTC)
    assert await down.deliver_due(now) == 0
    delayed = await books.notices(system.engine)
    assert all(notice.sent_at is None and notice.delayed_why for notice in delayed)
    up = dispatcher(system.engine, mailbox)
    assert await up.deliver_due(now) == 0
    assert await up.deliver_due(now + timedelta(hours=2)) == len(delayed)


async def test_a_german_customer_gets_german_mail(database: AsyncEngine, mailbox: Mailbox) -> None:
    email = f"{an_id()}@customer.example"
    refunded = NewNotice(kind=NoticeKind.REFUNDED, amount=money("1234.50 EUR"))
    order_id = await put(database, refunded, email=email, language="de")
    await dispatcher(database, mailbox).deliver_due(datetime.now(UTC))
    [mail] = [mail for mail in mailbox.mails() if mail.to == email]
    assert mail.subject == f"Ihre Erstattung zur Bestellung {order_id}"
    assert "1.234,50 EUR" in mail.body
    assert "erstattet" in mail.body


async def test_a_notice_whose_sender_died_is_sent_again_under_the_same_message_id(
    database: AsyncEngine, mailbox: Mailbox
) -> None:
    """D8: killed after the mail server took the mail and before that was noted."""
    email = f"{an_id()}@customer.example"
    await put(database, NewNotice(kind=NoticeKind.CANCELLED), email=email)
    now = datetime.now(UTC)
    [claimed] = await SqlBooks(database).due_notices(now, 10)
    addressed = address(claimed, await BuiltInOrders(database).read(claimed.order_id))
    async with mailbox.mailer().connection() as connection:
        await connection.send(write(addressed, "shop.example"))
    assert await dispatcher(database, mailbox).deliver_due(now + timedelta(seconds=59)) == 0
    assert await dispatcher(database, mailbox).deliver_due(now + timedelta(seconds=60)) == 1
    first, second = [mail for mail in mailbox.mails() if mail.to == email]
    assert first == second
    assert first.message_id == f"<{claimed.notice_id.replace('/', '.')}@shop.example>"


async def test_a_notice_that_cannot_be_written_holds_no_other_up(database: AsyncEngine, mailbox: Mailbox) -> None:
    """A refund without its amount is a programming error: logged, never mailed with a gap, tried again later."""
    email = f"{an_id()}@customer.example"
    broken = NewNotice(kind=NoticeKind.REFUNDED)
    await put(database, broken, email=email)
    await put(database, broken, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    now = datetime.now(UTC)
    with capture_logs() as logs:
        assert await dispatcher(database, mailbox).deliver_due(now) == 1
    assert [mail.subject.partition(" order")[0] for mail in mailbox.mails() if mail.to == email] == [
        "We have received a request to cancel"
    ]
    failed = [entry for entry in logs if entry["event"] == "notice_failed"]
    assert [(entry["log_level"], entry["error"], entry["kind"]) for entry in failed] == [
        ("error", "UndefinedError", "refunded")
    ] * 2
    assert all("refunded.txt" in entry["where"] for entry in failed)
    assert email not in repr(logs)
    waiting = [notice for notice in await books.notices(database) if notice.kind is NoticeKind.REFUNDED]
    assert all(notice.due_at > now and notice.delayed_why and notice.sent_at is None for notice in waiting)


async def test_an_address_that_does_not_exist_is_noted_once(database: AsyncEngine, mailbox: Mailbox) -> None:
    await put(database, NewNotice(kind=NoticeKind.RECEIVED), email="unknown@customer.example")
    await put(database, NewNotice(kind=NoticeKind.RECEIVED), email="mailbox-full@customer.example")
    now = datetime.now(UTC)
    with capture_logs() as logs:
        await dispatcher(database, mailbox).deliver_due(now)
        await dispatcher(database, mailbox).deliver_due(now + timedelta(hours=2))
    unknown, full = await books.notices(database)
    assert unknown.refused_why is not None
    assert unknown.attempts == 1
    assert full.refused_why is None
    assert full.attempts == 2
    assert [entry["event"] for entry in logs] == ["notice_refused", "notice_delayed", "notice_delayed"]
    assert "customer.example" not in repr(logs)


async def test_a_wrong_password_for_the_mail_server_gives_no_notice_up(database: AsyncEngine, mailbox: Mailbox) -> None:
    email = f"{an_id()}@customer.example"
    await put(database, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    now = datetime.now(UTC)
    async with strict_mail_server() as port:
        stranger = SmtpMailer("127.0.0.1", port, "shop@example.com", "shop", "wrong")
        assert (
            await NoticeDispatcher(SqlBooks(database), BuiltInOrders(database), stranger, "shop.example").deliver_due(
                now
            )
            == 0
        )
    [delayed] = await books.notices(database)
    assert delayed.refused_why is None
    assert "password" in (delayed.delayed_why or "")
    assert await dispatcher(database, mailbox).deliver_due(now + timedelta(hours=2)) == 1


async def test_however_long_the_mail_server_is_down_a_notice_is_tried_every_hour(database: AsyncEngine) -> None:
    """D8: after days, too."""
    await put(database, NewNotice(kind=NoticeKind.RECEIVED), email="customer@example.test")
    async with database.begin() as connection:
        await connection.execute(text("UPDATE notices SET attempts = 10000"))
    now = datetime.now(UTC)
    down = NoticeDispatcher(
        SqlBooks(database), BuiltInOrders(database), SmtpMailer("127.0.0.1", 1, "shop@example.com"), "shop.example"
    )
    assert await down.deliver_due(now) == 0
    [delayed] = await books.notices(database)
    assert delayed.due_at == now + timedelta(hours=1)


async def test_the_dispatcher_outlives_what_it_did_not_expect(database: AsyncEngine, mailbox: Mailbox) -> None:
    """The outbox is gone for a while, which is no outage that it knows of."""
    email = f"{an_id()}@customer.example"
    await put(database, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    await _execute(database, "ALTER TABLE notices RENAME TO notices_elsewhere")
    with capture_logs() as logs:
        running = asyncio.create_task(dispatcher(database, mailbox).run(timedelta(milliseconds=10)))

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


async def test_a_full_batch_is_followed_by_the_next_at_once(database: AsyncEngine, mailbox: Mailbox) -> None:
    """D12: a bulk cancellation does not wait a pause for every twenty mails."""
    email = f"{an_id()}@customer.example"
    for _ in range(21):
        await put(database, NewNotice(kind=NoticeKind.RECEIVED), email=email)
    running = asyncio.create_task(dispatcher(database, mailbox).run(timedelta(hours=1)))

    async def arrived() -> bool:
        return sum(mail.to == email for mail in mailbox.mails()) == 21

    await eventually(arrived, "all mails arrive", within=60)
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
