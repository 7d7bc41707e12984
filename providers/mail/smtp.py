"""Mail by SMTP."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial

import aiosmtplib

from domain.errors import ErrorCode, Refused, Unavailable
from domain.examination import Counterpart
from providers.breaker import Breaker
from providers.mail.port import Mail

_OF_THE_CONNECTION = (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPConnectError, aiosmtplib.SMTPHeloError)
_HAS_HAD_ENOUGH = 421  # RFC 5321: the server closes the connection; nothing of this mail was taken


class SmtpMailer:
    """`Mailer` on one mail server. `start_tls`: True demands encryption, None takes it where it is offered."""

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        username: str | None = None,
        password: str | None = None,
        *,
        start_tls: bool | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.breaker = Breaker(Counterpart.MAIL, "The mail server")
        self._sender = sender
        self._make = partial(
            aiosmtplib.SMTP,
            hostname=host,
            port=port,
            username=username,
            password=password,
            start_tls=start_tls,
            timeout=timeout,
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["SmtpConnection"]:
        connection = SmtpConnection(self._make, self._sender, self.breaker)
        try:
            yield connection
        finally:
            await connection.close()


class SmtpConnection:
    """`MailConnection`; made by `SmtpMailer.connection`."""

    def __init__(self, make: Callable[[], aiosmtplib.SMTP], sender: str, breaker: Breaker) -> None:
        self._make = make
        self._sender = sender
        self._breaker = breaker
        self._open: aiosmtplib.SMTP | None = None

    async def send(self, mail: Mail) -> None:
        try:
            message = self._message(mail)
            address = _address_in(message)
        except (ValueError, IndexError):  # the standard library's own slip, at an address that ends with its @
            raise _refused(mail, "its address is not one, or its subject or id has a line break") from None
        with self._call():
            try:
                await self._send(address, message)
            except ValueError:
                # The library's word for what no SMTP command can hold.
                raise _refused(mail, "its address has a character that no mail server takes") from None
            except aiosmtplib.SMTPRecipientsRefused as error:
                # 450 and 550 come in this one wrapper; only its code distinguishes a full mailbox from a missing one.
                raise _answered(mail, _code_of(error)) from None
            except aiosmtplib.SMTPSenderRefused:
                # Ours, not the customer's: every mail would be refused for it, so none is given up.
                raise Unavailable(
                    f"The mail server does not let us send as {self._sender}. Check MAIL_SENDER."
                ) from None
            except _OF_THE_CONNECTION:
                raise
            except aiosmtplib.SMTPResponseException as error:
                raise _answered(mail, error.code) from None
            except aiosmtplib.SMTPNotSupported:
                raise _refused(mail, "the server takes no address with letters outside ASCII") from None

    async def open(self) -> None:
        with self._call():
            if self._open is None or not await self._is_usable(self._open):
                await self._connect()

    async def _send(self, address: str, message: EmailMessage) -> None:
        """Use the open connection. If the server has closed it, or has had enough of it, connect again. A mail that it may
        have taken is not sent again at once."""
        if self._open is not None and await self._is_usable(self._open):
            try:
                await self._send_by(self._open, address, message)
            except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as error:
                if _code_of(error) != _HAS_HAD_ENOUGH:
                    raise
                await self.close()
            else:
                return
        await self._send_by(await self._connect(), address, message)

    async def _connect(self) -> aiosmtplib.SMTP:
        made = self._make()
        await made.connect()
        self._open = made
        return made

    async def _is_usable(self, connection: aiosmtplib.SMTP) -> bool:
        try:
            await connection.rset()
        except (aiosmtplib.SMTPException, OSError):
            await self.close()
            return False
        return True

    async def _send_by(self, connection: aiosmtplib.SMTP, address: str, message: EmailMessage) -> None:
        try:
            await connection.send_message(message, sender=self._sender, recipients=[address])
        except aiosmtplib.SMTPRecipientsRefused:
            raise  # of this mail alone
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        connection, self._open = self._open, None
        if connection is None or not connection.is_connected:
            return
        try:
            await connection.quit()
        except (aiosmtplib.SMTPException, OSError):
            connection.close()

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Translates what is wrong whichever mail is to be sent."""
        try:
            with self._breaker.call():
                try:
                    yield
                except aiosmtplib.SMTPAuthenticationError:
                    raise Refused(
                        ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
                        "The mail server rejected the user name and password. Check them in the settings.",
                    ) from None
        except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPHeloError):
            raise Unavailable("The mail server is not taking connections.") from None
        except (aiosmtplib.SMTPException, OSError):
            raise Unavailable("The connection to the mail server was lost or timed out.") from None

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = mail.to.strip()
        message["Subject"] = mail.subject
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"  # so that nobody's absence notice answers
        message["Date"] = format_datetime(datetime.now(UTC))
        message.set_content(mail.body)
        return message


def _address_in(message: EmailMessage) -> str:
    """The one address that the mail goes to. Raises ValueError when there is none or another one besides."""
    to = message["To"]
    [group] = to.groups
    [address] = group.addresses
    if to.defects or group.display_name or not (address.username and address.domain):
        raise ValueError("not an address")
    return str(address.addr_spec)


def _code_of(error: aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused) -> int:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return min(refused.code for refused in error.recipients)
    return error.code


def _answered(mail: Mail, code: int) -> Unavailable | Refused:
    if code < 500:
        return Unavailable(f"The mail server put mail {mail.message_id} off ({code}).")
    return _refused(mail, f"the server answered {code}")


def _refused(mail: Mail, why: str) -> Refused:
    return Refused(
        ErrorCode.MAIL_REFUSED,
        f"Mail {mail.message_id} cannot be delivered: {why}. Check the order's address, and reach the customer another way.",
    )
