"""Notices to the customer and to staff: written into the outbox with the effect they are about, delivered from there.

Mail trouble never holds a cancellation up: no step waits for the mail server, and the outbox keeps what is not delivered.
"""

import asyncio
import contextlib
import re
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import structlog
from babel.core import Locale, UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import format_currency
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from temporalio import activity

from activities.attempt import begin_attempt
from activities.signatures import Booked, RemindStaff
from domain.errors import ErrorCode, Refused, StepError, Unavailable
from domain.facts import Reminded
from domain.money import Money, exponent
from domain.order import Order
from domain.policy import Policy
from domain.texts import one_line
from providers.cancellations.port import Register
from providers.mail.port import Mail, MailConnection, Mailer
from providers.orders.port import Orders
from providers.outbox.port import DueNotice, NewNotice, NoticeKind, NoticeLine, Outbox
from runtime.rests import Rests
from runtime.texts import SOURCE, find_language, translations

_ROOT, _PACKAGES = str(Path(__file__).resolve().parents[1]), "site-packages"
_BATCH = 20
_LONGEST_DELAY = timedelta(hours=1)
_AT_ONCE = 4
"""Batches that one worker sends at a time, each over its own connection. A mail server takes a few from one address."""
# A claim lasts a minute: stop early enough that no other worker sends the rest of the batch too.
_BATCH_SECONDS = 30

_MISREAD_IN_ID = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]")
"""What a Message-ID does not hold by RFC 5322 without being quoted, and what a shop may write into an order's id."""


@cache
def _templates(language: str) -> Environment:
    """One for each kind of notice, in this language."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # noqa: S701 (the mails are plain text)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    templates.policies["ext.i18n.trimmed"] = True
    templates.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    return templates


class Notice(NewNotice):
    """A notice with what is needed to write it. `language` is the customer's, as an IETF language tag."""

    notice_id: str
    order_id: str
    email: str
    language: str


_STAFF_LANGUAGE = SOURCE
"""Their mails quote the process, which keeps its sentences in English."""


def address(due: DueNotice, order: Order) -> Notice:
    """To the customer in their language, or to the mailbox of staff that it names. Refused: MAIL_REFUSED."""
    content, contact = due.content, order.contact
    email = content.to or (contact.email if contact else None)
    if email is None:
        raise Refused(
            ErrorCode.MAIL_REFUSED,
            f"The order management system knows no address of the customer of order {order.order_id}; write to them.",
        )
    fields = {name: getattr(content, name) for name in type(content).model_fields}
    fields["lines"] = _titled(content.lines, order)
    fields["left_out"] = _titled(content.left_out, order)
    language = contact.language if contact and not content.to else _STAFF_LANGUAGE
    return Notice(**fields, notice_id=due.notice_id, order_id=due.order_id, email=email, language=language)


def _titled(lines: Sequence[NoticeLine], order: Order) -> tuple[NoticeLine, ...]:
    """A withdrawal is acknowledged as it was declared, so it may name a line that the order does not have."""
    titles = {line.line_id: line.title for line in order.lines}
    return tuple(line.model_copy(update={"title": titles.get(line.line_id, line.line_id)}) for line in lines)


def write(notice: Notice, domain: str) -> Mail:
    """The mail of a notice, in the customer's language or else in English. A template's first line is the subject, and a
    paragraph is one line, for the reader's window to break. The Message-ID is made from the notice's id, so that a repeat is
    recognised as one."""
    language = find_language(notice.language)
    locale = _locale(notice.language, language)
    words: dict[str, object] = {
        "order": notice.order_id,
        "lines": _articles(notice.lines),
        "left_out": _articles(notice.left_out),
        "note": notice.note.splitlines(),
        "methods": notice.methods,
        "ways": notice.ways,
        "about": notice.about,
    }
    # What a notice does not have stays undefined: a mail with a gap where the amount should be is not written at all.
    if notice.amount is not None:
        words["amount"] = _figure(notice.amount, locale)
    if notice.received_at is not None:
        words["received_at"] = _moment(notice.received_at, locale)
    if notice.due_at is not None:
        words["due_at"] = _moment(notice.due_at, locale)
    if notice.sentence:
        words["sentence"] = notice.sentence
    text = _templates(language).get_template(f"{notice.kind.value}.txt").render(words)
    subject, _, body = text.partition("\n")
    return Mail(
        message_id=f"<{_MISREAD_IN_ID.sub(_escape, notice.notice_id.replace('/', '.'))}@{domain}>",
        to=notice.email,
        subject=subject,
        body=body.lstrip("\n"),
    )


def _articles(lines: Sequence[NoticeLine]) -> tuple[NoticeLine, ...]:
    """With the merchant's titles as a mail can show them; without a title that can be seen, the line's id."""
    return tuple(line.model_copy(update={"title": one_line(line.title) or line.line_id}) for line in lines)


def _escape(char: re.Match[str]) -> str:
    return f"%{ord(char.group()):02X}"


def _locale(tag: str, language: str) -> Locale:
    """How the customer's country writes figures and dates, where it speaks the language of the mail."""
    try:
        locale = Locale.parse(tag, sep="_" if "_" in tag else "-")
    except (ValueError, UnknownLocaleError):
        locale = Locale(language)
    return locale if locale.language == language else Locale(language)


# Rule: A mail writes amounts and times as its reader's country does
def _figure(money: Money, locale: Locale) -> str:
    """`1,234.50 USD`, in German `1.234,50 USD`: with a foreign mark, three decimals read as thousands. The number of
    decimals is that of ISO 4217, which the payment was made by, and the code says which dollar is meant."""
    places = exponent(money.currency)
    pattern = f"#,##0{'.' if places else ''}{'0' * places} ¤¤"
    amount = Decimal(money.amount).scaleb(-places)
    return format_currency(amount, money.currency, pattern, locale=locale, currency_digits=False)


# Rule: A mail writes amounts and times as its reader's country does [times]
def _moment(at: datetime, locale: Locale) -> str:
    """Date, time and time zone: nobody knows the customer's, so it is UTC."""
    return format_datetime(at, "long", tzinfo=UTC, locale=locale)


class NoticeActivities:
    """The reminders to staff."""

    def __init__(self, register: Register, outbox: Outbox, policy: Policy) -> None:
        self._register = register
        self._outbox = outbox
        self._mailboxes = policy.mailboxes

    # Rule: An approval is reminded of, escalated and expires [who is written to]
    @activity.defn
    async def remind_staff(self, step_input: RemindStaff) -> Booked:
        """Write to whoever may approve, or to whoever is above them when nobody does; to nobody where the policy names
        nobody."""
        async with begin_attempt(self._register, step_input) as attempt:
            mailbox = self._mailboxes.escalations if step_input.escalated else self._mailboxes.approvals
            if mailbox is not None:
                notice = NewNotice(
                    kind=NoticeKind.APPROVAL_ESCALATED if step_input.escalated else NoticeKind.APPROVAL_DUE,
                    to=mailbox,
                    sentence=step_input.sentence,
                    due_at=step_input.due_at,
                )
                await self._outbox.add_notices(step_input.cancellation_id, step_input.order_id, [notice])
            await attempt.write(Reminded(escalated=step_input.escalated))
            return await attempt.answer()


# Rule: A notice is written once and delivered later [delivered]
class NoticeDispatcher:
    """Delivers the outbox, in every worker: a notice is claimed before it is sent, so two workers do not send it twice.

    Nothing that goes wrong with one notice stops the others, a connection that hangs holds up its own batch only, and
    nothing ends the dispatcher but its cancellation.
    """

    def __init__(self, outbox: Outbox, orders: Orders, mailer: Mailer, domain: str) -> None:
        self._outbox = outbox
        self._orders = orders
        self._mailer = mailer
        self._domain = domain

    async def run(self, every: timedelta = timedelta(seconds=1)) -> None:
        """Until cancelled."""
        free = asyncio.Semaphore(_AT_ONCE)
        rests = Rests(every.total_seconds())
        async with asyncio.TaskGroup() as sending:
            while True:
                await free.acquire()
                claimed: Sequence[DueNotice] = ()
                rest = rests.after_failure()
                with _logged():
                    claimed = await self._outbox.due_notices(datetime.now(UTC), _BATCH)
                    rest = rests.after_success()
                task = sending.create_task(self._send_or_log(claimed))
                task.add_done_callback(lambda _: free.release())
                if len(claimed) < _BATCH:
                    await asyncio.sleep(rest)

    async def deliver_due(self, now: datetime) -> int:
        """Deliver a batch of what is due; returns how many notices went out. Raises Unavailable when the outbox cannot
        be reached."""
        return await self._send(await self._outbox.due_notices(now, _BATCH), now)

    async def _send_or_log(self, notices: Sequence[DueNotice]) -> None:
        with _logged():
            await self._send(notices, datetime.now(UTC))

    async def _send(self, notices: Sequence[DueNotice], now: datetime) -> int:
        """Over one connection. Raises Unavailable when the outbox cannot be reached: to go on sending then would be to
        send again what could not be noted as sent."""
        began = time.monotonic()
        sent = 0
        async with self._mailer.connection() as connection:
            for notice in notices:
                if time.monotonic() - began > _BATCH_SECONDS:
                    break
                log = structlog.get_logger().bind(
                    cancellation_id=notice.notice_id.partition("/")[0],
                    order_id=notice.order_id,
                    notice_id=notice.notice_id,
                    kind=notice.content.kind,
                )
                try:
                    sent += await self._deliver(notice, connection, now, log)
                except Unavailable:
                    raise
                except Exception as error:  # noqa: BLE001 (the claim runs out in a minute; the others are not to wait for it)
                    log.error("notice_failed", **_seen(error))
        return sent

    async def _deliver(
        self, notice: DueNotice, connection: MailConnection, now: datetime, log: structlog.typing.FilteringBoundLogger
    ) -> bool:
        """Whether it went out."""
        try:
            order = await self._orders.read(notice.order_id)
            await connection.send(write(address(notice, order), self._domain))
        except StepError as error:
            if error.code in {ErrorCode.MAIL_REFUSED, ErrorCode.ORDER_NOT_FOUND}:
                await self._outbox.notice_refused(notice.notice_id, error.message)
                log.warning("notice_refused", error=error.message)
                return False
            # The mail server or the order management system is down, or rejected our password: no fault of this notice.
            why = error.message
            log.warning("notice_delayed", error=why)
        except Exception as error:  # noqa: BLE001 (a programming error: seen here, and this notice tried again later)
            why = f"It cannot be written or sent: {type(error).__name__}."
            log.error("notice_failed", **_seen(error))
        else:
            await self._outbox.notice_sent(notice.notice_id, now)
            log.info("notice_sent")
            return True
        await self._outbox.notice_delayed(notice.notice_id, now + _delay(notice.attempts), why)
        return False


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        structlog.get_logger().warning("outbox_unavailable", error=error.message)
    except Exception as error:  # noqa: BLE001 (a programming error: seen, and the worker lives on)
        structlog.get_logger().error("outbox_failed", **_seen(error))


def _delay(attempts: int) -> timedelta:
    """Twice as long each time, up to an hour."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), _LONGEST_DELAY)


def _seen(error: Exception) -> dict[str, str]:
    """A programming error for the log, by its type and place in our code or template: its text may hold what the customer's
    mail says."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = (frame for frame in reversed(frames) if frame.filename.startswith(_ROOT) and _PACKAGES not in frame.filename)
    place = next(ours, frames[-1])
    return {"error": type(error).__name__, "where": f"{place.filename}:{place.lineno}"}
