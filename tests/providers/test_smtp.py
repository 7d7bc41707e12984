"""Mail: the adapter against a real SMTP server."""

import asyncio
from dataclasses import dataclass

import pytest

from domain.errors import ErrorCode, Refused, Unavailable
from providers.mail.port import Mail
from providers.mail.smtp import SmtpMailer
from tests.fixtures.mail import Mailbox


def mail(message_id: str, to: str = "customer@example.com") -> Mail:
    return Mail(message_id=message_id, to=to, subject="Ihre Erstattung", body="Wir haben 52,35 € zurückgezahlt.\n")


async def send(mailer: SmtpMailer, *mails: Mail) -> None:
    async with mailer.connection() as connection:
        for mail in mails:
            await connection.send(mail)


async def test_a_mail_arrives_as_it_was_written(mailbox: Mailbox) -> None:
    sent = mail("<cancel-order-1/refunded@shop.example>")
    await send(mailbox.mailer(), sent)
    [received] = [got for got in mailbox.mails() if got.message_id == sent.message_id]
    assert (received.to, received.subject, received.body) == (sent.to, sent.subject, sent.body)
    assert received.sender == "shop@example.com"


async def test_a_repeat_carries_the_same_message_id(mailbox: Mailbox) -> None:
    """D8: what was sent again is recognised by the receiver, however long the id is."""
    sent = mail(f"<cancel-order-{'2' * 80}/refund_started@shop.example>")
    await send(mailbox.mailer(), sent)
    await send(mailbox.mailer(), sent)
    assert [got.message_id for got in mailbox.mails()].count(sent.message_id) == 2


async def test_a_full_mailbox_is_tried_later(mailbox: Mailbox) -> None:
    """The library wraps 452 and 550 in the same error."""
    with pytest.raises(Unavailable):
        await send(mailbox.mailer(), mail("<3@shop.example>", "mailbox-full@example.com"))


async def test_a_mailbox_that_does_not_exist_is_given_up(mailbox: Mailbox) -> None:
    with pytest.raises(Refused, match="550") as caught:
        await send(mailbox.mailer(), mail("<4@shop.example>", "unknown@example.com"))
    assert caught.value.code is ErrorCode.MAIL_REFUSED
    assert "unknown@example.com" not in caught.value.message


async def test_an_address_with_a_line_break_is_refused_before_it_is_sent(mailbox: Mailbox) -> None:
    with pytest.raises(Refused) as caught:
        await send(mailbox.mailer(), mail("<5@shop.example>", "a@example.com\nBcc: b@example.com"))
    assert caught.value.code is ErrorCode.MAIL_REFUSED


@pytest.mark.parametrize(
    "to",
    [
        "",
        "   ",
        "a b@c.example",
        "a@b.example\x00",
        "\x00",
        "a@b.example, c@d.example",
        "a@b.example;c@d.example",
        "nobody",
        "a@",
        "@b.example",
        "mailto:a@b.example",
    ],
    ids=repr,
)
async def test_a_text_that_is_no_address_is_given_up(mailbox: Mailbox, to: str) -> None:
    """E12: as the merchant's order has it. The next mail of the connection goes out."""
    before = len(mailbox.mails())
    async with mailbox.mailer().connection() as connection:
        with pytest.raises(Refused) as caught:
            await connection.send(mail("<14@shop.example>", to))
        await connection.send(mail("<15@shop.example>"))
    assert caught.value.code is ErrorCode.MAIL_REFUSED
    assert "Check the order's address" in caught.value.message
    assert [got.message_id for got in mailbox.mails()[before:]] == ["<15@shop.example>"]


@pytest.mark.parametrize(
    "to", [" a@b.example ", "a@b.example\n", "<a@b.example>", '"a b"@c.example', "o'neil+x@b.example"]
)
async def test_an_address_with_something_around_it_is_written_to(mailbox: Mailbox, to: str) -> None:
    """E12"""
    await send(mailbox.mailer(), mail("<16@shop.example>", to))
    assert mailbox.mails()[-1].to == to.strip(" \n<>")


async def test_an_address_that_the_server_cannot_write_is_given_up(mailbox: Mailbox) -> None:
    with pytest.raises(Refused) as caught:
        await send(mailbox.mailer(), mail("<8@shop.example>", "jürgen@example.com"))
    assert caught.value.code is ErrorCode.MAIL_REFUSED


async def test_no_mail_server_is_unavailable(unused_tcp_port: int) -> None:
    """D8."""
    with pytest.raises(Unavailable):
        await send(SmtpMailer("127.0.0.1", unused_tcp_port, "shop@example.com"), mail("<6@shop.example>"))


async def test_encryption_that_is_demanded_and_not_offered_sends_nothing(mailbox: Mailbox) -> None:
    strict = SmtpMailer(mailbox.host, mailbox.port, "shop@example.com", start_tls=True)
    with pytest.raises(Unavailable):
        await send(strict, mail("<7@shop.example>"))
    assert "<7@shop.example>" not in [got.message_id for got in mailbox.mails()]


async def test_a_connection_is_opened_without_a_mail(unused_tcp_port: int) -> None:
    """Whoever asks whether the mail server answers."""
    server = Server()
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        mailer = SmtpMailer("127.0.0.1", listening.sockets[0].getsockname()[1], "shop@example.com")
        async with mailer.connection() as connection:
            for _ in range(2):
                await connection.open()
    assert (server.mails, server.connections) == (0, 1)
    async with SmtpMailer("127.0.0.1", unused_tcp_port, "shop@example.com").connection() as connection:
        with pytest.raises(Unavailable):
            await connection.open()


@dataclass
class Server:
    """Takes so many mails by a connection, and then ends it, with a word or without. Is slow to answer one of them, which
    it has taken."""

    mails_each: int = 10
    says_so: bool = False
    slow: int = 0
    connections: int = 0
    mails: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        left = self.mails_each
        writer.write(b"220 ready\r\n")
        while (left or self.says_so) and (line := (await reader.readline()).upper()):
            answer = b"250 fine"
            if line.startswith(b"MAIL") and not left:
                writer.write(b"421 too many messages in this connection\r\n")
                break
            if b"UNKNOWN@" in line:
                answer = b"550 nobody here"
            elif line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                while await reader.readline() != b".\r\n":
                    pass
                self.mails, left = self.mails + 1, left - 1
                if self.mails == self.slow:
                    await reader.read()
                    break
            writer.write(answer + b"\r\n")
            await writer.drain()
        writer.close()


@pytest.mark.parametrize(("server", "connections"), [(Server(), 1), (Server(1), 2), (Server(1, says_so=True), 2)])
async def test_several_mails_go_over_one_connection_as_long_as_the_server_has_it(
    server: Server, connections: int
) -> None:
    """M31. One that is refused does not end the connection of the others."""
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        mailer = SmtpMailer("127.0.0.1", listening.sockets[0].getsockname()[1], "shop@example.com")
        async with mailer.connection() as connection:
            await connection.send(mail("<9@shop.example>"))
            with pytest.raises(Refused):
                await connection.send(mail("<10@shop.example>", "unknown@example.com"))
            await connection.send(mail("<11@shop.example>"))
    assert (server.mails, server.connections) == (2, connections)


async def test_a_mail_that_the_server_may_have_taken_is_not_sent_again_at_once() -> None:
    """D8: its answer is late, so it is tried later, and is recognised as a repeat."""
    server = Server(slow=2)
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        async with SmtpMailer("127.0.0.1", port, "shop@example.com", timeout=0.5).connection() as connection:
            await connection.send(mail("<12@shop.example>"))
            with pytest.raises(Unavailable):
                await connection.send(mail("<13@shop.example>"))
    assert (server.mails, server.connections) == (2, 1)
