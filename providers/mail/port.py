"""The mail port."""

from typing import Protocol

from domain.base import Value


class Mail(Value):
    """One message. `message_id` is the same at every attempt, so that a mailbox can tell a repeat."""

    message_id: str
    to: str
    subject: str
    body: str


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand the mail to the mail server. Raises Unavailable (try later) or Refused MAIL_REFUSED (never will)."""
        ...
