"""The mail port."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from domain.base import Value


class Mail(Value):
    """One message. `message_id` is the same at every attempt, so that a mailbox recognises a repeat."""

    message_id: str
    to: str
    subject: str
    body: str


class MailConnection(Protocol):
    async def open(self) -> None:
        """Connect and log in, if that is wanted; nothing is sent. Raises what `send` does, but MAIL_REFUSED."""
        ...

    async def send(self, mail: Mail) -> None:
        """Hand the mail to the mail server. Raises Unavailable (try later) or Refused: MAIL_REFUSED (never will),
        PROVIDER_REJECTED_CREDENTIALS (no fault of this mail: try later)."""
        ...


class Mailer(Protocol):
    def connection(self) -> AbstractAsyncContextManager[MailConnection]:
        """One connection for several mails. It is made with the first of them, and anew after a failure."""
        ...
