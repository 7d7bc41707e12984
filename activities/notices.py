"""Notices to the customer: written into the outbox with the effect they tell of, delivered from there.

Mail trouble never holds a cancellation up: no step waits for the mail server, and the outbox keeps what is not delivered.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from domain.errors import Refused, Unavailable
from providers.mail.port import Mail, Mailer
from providers.order_book.port import Notice, NoticeKind, OrderBook

_BATCH = 20
_LONGEST_DELAY = timedelta(hours=1)

_SUBJECTS = {
    NoticeKind.RECEIVED: "We have received your cancellation of order {order}",
    NoticeKind.REFUND_STARTED: "Your refund for order {order} has started",
    NoticeKind.REFUNDED: "Your money for order {order} is back",
    NoticeKind.RESERVATION_RELEASED: "The reservation for order {order} is released",
    NoticeKind.CANCELLED: "Order {order} is cancelled",
    NoticeKind.NOT_CANCELLED: "Order {order} was not cancelled",
}
_BODIES = {
    NoticeKind.RECEIVED: "We have received the request to cancel order {order} and are stopping it now.",
    NoticeKind.REFUND_STARTED: "We have started to refund {amount}. We write again when the money has arrived.",
    NoticeKind.REFUNDED: "We have refunded {amount}. Your bank shows it on the account you paid from.",
    NoticeKind.RESERVATION_RELEASED: "We have released the {amount} that were reserved. Nothing was charged for them.",
    NoticeKind.CANCELLED: "Order {order} is cancelled.",
    NoticeKind.NOT_CANCELLED: "Order {order} was not cancelled and goes on as before.",
}


def write(notice: Notice, domain: str) -> Mail:
    """The mail of a notice. Its Message-ID is made from the notice's id, so that a repeat is recognised as one."""
    words = {"order": notice.order_id, "amount": str(notice.amount or "")}
    return Mail(
        message_id=f"<{notice.notice_id.replace('/', '.')}@{domain}>",
        to=notice.email,
        subject=_SUBJECTS[notice.kind].format(**words),
        body=_BODIES[notice.kind].format(**words) + "\n",
    )


class NoticeDispatcher:
    """Delivers the outbox, in every worker: a notice is claimed before it is sent, so two workers do not send it twice."""

    def __init__(self, book: OrderBook, mailer: Mailer, domain: str) -> None:
        self._book = book
        self._mailer = mailer
        self._domain = domain

    async def run(self, every: timedelta = timedelta(seconds=1)) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.deliver_due(datetime.now(UTC))
            except Unavailable as error:
                structlog.get_logger().warning("outbox_unavailable", error=error.message)
            await asyncio.sleep(every.total_seconds())

    async def deliver_due(self, now: datetime) -> int:
        """Deliver what is due; returns how many notices went out."""
        sent = 0
        for notice in await self._book.due_notices(now, _BATCH):
            log = structlog.get_logger().bind(notice_id=notice.notice_id, order_id=notice.order_id)
            try:
                await self._mailer.send(write(notice, self._domain))
            except Unavailable as error:
                delay = min(timedelta(seconds=2**notice.attempts), _LONGEST_DELAY)
                await self._book.notice_delayed(notice.notice_id, now + delay, error.message)
                log.warning("notice_delayed", error=error.message)
            except Refused as error:
                await self._book.notice_refused(notice.notice_id, error.message)
                log.warning("notice_refused", error=error.message)
            else:
                await self._book.notice_sent(notice.notice_id, now)
                log.info("notice_sent", kind=notice.kind)
                sent += 1
        return sent
