"""Many mails at once: several connections to the mail server, and one that hangs holds up its own mails only."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.notices import NoticeDispatcher
from providers.books.books import SqlBooks
from providers.mail.smtp import SmtpMailer
from providers.orders.built_in.orders import BuiltInOrders
from providers.outbox.port import NewNotice, NoticeKind
from runtime.shutdown import cancel_and_wait
from sandbox import books, built_in
from tests.providers.merchant import Merchant, cancellation, order
from tests.system import eventually


@dataclass
class MailServer:
    """Never answers its first `hanging` connections."""

    hanging: int = 0
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    mails: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            if self.connections <= self.hanging:
                await reader.read()
                return
            writer.write(b"220 ready\r\n")
            while line := (await reader.readline()).upper():
                if line.startswith(b"DATA"):
                    writer.write(b"354 go on\r\n")
                    while await reader.readline() != b".\r\n":
                        pass
                    await asyncio.sleep(0.02)
                    self.mails += 1
                writer.write(b"250 fine\r\n")
                await writer.drain()
        finally:
            self.open_now -= 1
            writer.close()


def dispatcher(database: AsyncEngine, mailer: SmtpMailer) -> NoticeDispatcher:
    return NoticeDispatcher(SqlBooks(database), BuiltInOrders(database), mailer, "shop.example")


async def fill(database: AsyncEngine, count: int) -> None:
    """So many notices of one order."""
    placed = order()
    await built_in.add_order(database, placed, email="buyer@shop.example")
    notices = [NewNotice(kind=NoticeKind.PARCEL_STOPPED, about=f"S{n}") for n in range(count)]
    await Merchant.at(database).hold(cancellation(placed), notices)


async def test_a_connection_that_hangs_holds_up_its_own_mails_only(database: AsyncEngine) -> None:
    """M31"""
    await fill(database, 100)
    server = MailServer(hanging=1)
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        mailer = SmtpMailer("127.0.0.1", listening.sockets[0].getsockname()[1], "shop@example.com", timeout=60)
        running = asyncio.create_task(dispatcher(database, mailer).run(timedelta(seconds=0.1)))

        async def sent() -> bool:
            return len([notice for notice in await books.notices(database) if notice.sent_at]) == 80

        await eventually(sent, "all but one batch are sent", within=40)
        assert server.most_open <= 4
        await cancel_and_wait(running)
    assert server.mails == 80


async def test_many_mails_go_over_several_connections_and_each_once(database: AsyncEngine) -> None:
    """M31: never more than four, which a mail server of a small shop allows."""
    await fill(database, 200)
    server = MailServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        mailer = SmtpMailer("127.0.0.1", listening.sockets[0].getsockname()[1], "shop@example.com")
        running = asyncio.create_task(dispatcher(database, mailer).run(timedelta(seconds=0.1)))

        async def sent() -> bool:
            return len([notice for notice in await books.notices(database) if notice.sent_at]) == 200

        await eventually(sent, "all are sent", within=50)
        await cancel_and_wait(running)
    assert (server.mails, server.most_open, server.connections) == (200, 4, 10)


async def test_a_mail_server_that_is_down_is_not_pestered(database: AsyncEngine) -> None:
    """D8: each mail is tried again later, each time after twice as long."""
    await fill(database, 60)
    mailer = SmtpMailer("127.0.0.1", 1, "shop@example.com")
    running = asyncio.create_task(dispatcher(database, mailer).run(timedelta(seconds=0.1)))

    async def delayed() -> bool:
        return all(notice.delayed_why for notice in await books.notices(database))

    await eventually(delayed, "all are delayed")
    await cancel_and_wait(running)
    assert all(notice.due_at > datetime.now(UTC) - timedelta(seconds=10) for notice in await books.notices(database))
