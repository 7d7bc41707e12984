"""Texts of other people in mails: the customer's note, and what the merchant's order says of its lines."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.notices import Notice, write
from providers.outbox.port import NewNotice, NoticeKind, NoticeLine
from sandbox import built_in
from tests.activities.mailing import dispatcher
from tests.fixtures.mail import Mailbox
from tests.providers.merchant import Merchant, cancellation, line, order
from tests.workflows.samples import an_id

TITLES = {
    "line break": ("Cup\r\nBcc: all@shop.example\n\nPlease pay", "Cup Bcc: all@shop.example Please pay"),
    "NUL": ("Cup\x00, blue", "Cup, blue"),
    "direction": ("Cup \u202eeulb\u202c", "Cup eulb"),
    "half of a pair": ("Cup \ud83d", "Cup"),
    "template": ("Cup {{ order }}", "Cup {{ order }}"),
    "blank": (" \u200b ", "L1"),
    "emoji": ("Cup ☕, Größe 3", "Cup ☕, Größe 3"),
    "300 letters": ("x" * 300, "x" * 300),
    "100,000 letters": ("x" * 100_000, "x" * 499 + "…"),
}


def about(kind: NoticeKind, title: str, note: str = "") -> Notice:
    return Notice(
        notice_id="can-O-1-abc/x",
        kind=kind,
        order_id="O-1",
        email="buyer@shop.example",
        language="en",
        lines=(NoticeLine(line_id="L1", quantity=2, title=title),),
        received_at=datetime(2026, 3, 1, 23, 59, 7, tzinfo=UTC),
        note=note,
    )


@pytest.mark.parametrize(
    ("title", "shown"), [TITLES[name] for name in TITLES if name not in {"template", "emoji", "300 letters"}]
)
def test_a_line_of_the_order_is_one_line_of_a_mail(title: str, shown: str) -> None:
    """F17, E12: nobody can be asked to type the merchant's titles anew."""
    mail = write(about(NoticeKind.RECEIVED, title), "shop.example")
    assert f"\n- 2 × {shown}\n" in mail.body


@pytest.mark.parametrize(("title", "shown"), [TITLES[name] for name in ("template", "emoji", "300 letters")])
def test_a_title_stands_in_a_mail_as_it_is(title: str, shown: str) -> None:
    """E12"""
    mail = write(about(NoticeKind.RECEIVED, title), "shop.example")
    assert f"\n- 2 × {shown}\n" in mail.body


@pytest.mark.parametrize("order_id", ["gid://shop/Order/1", 'a"b', "a>b", "a@b", "(x", "[1],2;", "\\", "#1001", "%2F"])
async def test_a_repeat_of_a_mail_is_known_by_its_id_whatever_the_order_is_called(
    mailbox: Mailbox, order_id: str
) -> None:
    """E12, D8"""
    notice = about(NoticeKind.RECEIVED, "Cup").model_copy(update={"notice_id": f"can-{order_id}-{an_id()}/received"})
    written = write(notice, "shop.example")
    async with mailbox.mailer().connection() as connection:
        await connection.send(written)
    assert mailbox.mails()[-1].message_id == written.message_id
    other = notice.model_copy(update={"notice_id": notice.notice_id.replace("/", "/other/")})
    assert write(other, "shop.example").message_id != written.message_id


async def test_no_text_of_an_order_keeps_the_mails_of_others_back(database: AsyncEngine, mailbox: Mailbox) -> None:
    """E12: on both databases, from the outbox to the mail server."""
    titles = {name: title for name, (title, _) in TITLES.items() if not {*title} & {"\x00", "\ud83d"}}
    for title in titles.values():
        placed = order(an_id(), lines=(line("10.00 USD").model_copy(update={"title": title}),))
        await built_in.add_order(
            database, placed.model_copy(update={"customer_id": an_id()}), email=f"{an_id()}@c.example"
        )
        lines = (NoticeLine(line_id="L1", quantity=1),)
        await Merchant.at(database).hold(cancellation(placed), [NewNotice(kind=NoticeKind.RECEIVED, lines=lines)])
    assert await dispatcher(database, mailbox).deliver_due(datetime.now(UTC)) == len(titles)
