"""Mail: the adapter against a real SMTP server."""

import pytest

from domain.errors import ErrorCode, Refused, Unavailable
from providers.mail.port import Mail
from providers.mail.smtp import SmtpMailer
from tests.fixtures.mail import Mailbox


def mail(message_id: str, to: str = "customer@example.com") -> Mail:
    return Mail(message_id=message_id, to=to, subject="Ihre Erstattung", body="Wir haben 52,35 € zurückgezahlt.\n")


async def test_a_mail_arrives_as_it_was_written(mailbox: Mailbox) -> None:
    sent = mail("<cancel-order-1/refunded@shop.example>")
    await mailbox.mailer().send(sent)
    [received] = [got for got in mailbox.mails() if got.message_id == sent.message_id]
    assert (received.to, received.subject, received.body) == (sent.to, sent.subject, sent.body)
    assert received.sender == "shop@example.com"


async def test_a_repeat_carries_the_same_message_id(mailbox: Mailbox) -> None:
    """D8: what was sent again is recognised by the receiver, however long the id is."""
    sent = mail(f"<cancel-order-{'2' * 80}/refund_started@shop.example>")
    await mailbox.mailer().send(sent)
    await mailbox.mailer().send(sent)
    assert [got.message_id for got in mailbox.mails()].count(sent.message_id) == 2


async def test_a_full_mailbox_is_tried_later(mailbox: Mailbox) -> None:
    """The library wraps 452 and 550 in the same error."""
    with pytest.raises(Unavailable):
        await mailbox.mailer().send(mail("<3@shop.example>", "mailbox-full@example.com"))


async def test_a_mailbox_that_does_not_exist_is_given_up(mailbox: Mailbox) -> None:
    with pytest.raises(Refused, match="550") as caught:
        await mailbox.mailer().send(mail("<4@shop.example>", "unknown@example.com"))
    assert caught.value.code is ErrorCode.MAIL_REFUSED
    assert "unknown@example.com" not in caught.value.message


async def test_an_address_with_a_line_break_is_refused_before_it_is_sent(mailbox: Mailbox) -> None:
    with pytest.raises(Refused) as caught:
        await mailbox.mailer().send(mail("<5@shop.example>", "a@example.com\nBcc: b@example.com"))
    assert caught.value.code is ErrorCode.MAIL_REFUSED


async def test_an_address_that_the_server_cannot_write_is_given_up(mailbox: Mailbox) -> None:
    with pytest.raises(Refused) as caught:
        await mailbox.mailer().send(mail("<8@shop.example>", "jürgen@example.com"))
    assert caught.value.code is ErrorCode.MAIL_REFUSED


async def test_no_mail_server_is_unavailable(unused_tcp_port: int) -> None:
    """D8."""
    with pytest.raises(Unavailable):
        await SmtpMailer("127.0.0.1", unused_tcp_port, "shop@example.com").send(mail("<6@shop.example>"))


async def test_encryption_that_is_demanded_and_not_offered_sends_nothing(mailbox: Mailbox) -> None:
    strict = SmtpMailer(mailbox.host, mailbox.port, "shop@example.com", start_tls=True)
    with pytest.raises(Unavailable):
        await strict.send(mail("<7@shop.example>"))
    assert "<7@shop.example>" not in [got.message_id for got in mailbox.mails()]
