"""The outbox is delivered to a real mail server, later when that is down, and once."""

from datetime import UTC, datetime, timedelta

from activities.notices import NoticeDispatcher
from domain.outcome import Outcome
from providers.mail.smtp import SmtpMailer
from sandbox import books
from sandbox.shop import request
from tests.fixtures.mail import Mailbox
from tests.house import House
from tests.workflows.samples import captured


async def test_the_customer_is_told_each_thing_once(house: House, mailbox: Mailbox) -> None:
    sample = captured()
    await house.shop.place(sample)
    await house.cancel(request(sample))
    dispatcher = NoticeDispatcher(house.book, mailbox.mailer(), "shop.example")
    while await dispatcher.deliver_due(datetime.now(UTC)):
        pass
    assert await dispatcher.deliver_due(datetime.now(UTC) + timedelta(days=1)) == 0
    mine = [mail for mail in mailbox.mails() if sample.order_id in mail.subject]
    assert sorted(mail.subject for mail in mine) == sorted(
        [
            f"We have received your cancellation of order {sample.order_id}",
            f"Your money for order {sample.order_id} is back",
            f"Order {sample.order_id} is cancelled",
        ]
    )
    assert any("64.00 USD" in mail.body for mail in mine)
    assert len({mail.message_id for mail in mine}) == 3


async def test_a_mail_server_that_is_down_holds_no_cancellation_up(house: House, mailbox: Mailbox) -> None:
    """D8: the mails go out later."""
    sample = captured()
    await house.shop.place(sample)
    down = NoticeDispatcher(house.book, SmtpMailer("127.0.0.1", 1, "shop@example.com"), "shop.example")
    result = await house.cancel(request(sample))
    assert result.outcome is Outcome.CANCELLED
    now = datetime.now(UTC)
    assert await down.deliver_due(now) == 0
    delayed = await books.notices(house.engine)
    assert all(notice.sent_at is None and notice.delayed_why for notice in delayed)
    up = NoticeDispatcher(house.book, mailbox.mailer(), "shop.example")
    assert await up.deliver_due(now) == 0
    assert await up.deliver_due(now + timedelta(hours=2)) == len(delayed)
