"""An outbox with notices in it, and what delivers them to the tests' mail server."""

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.notices import NoticeDispatcher
from providers.books.books import SqlBooks
from providers.orders.built_in.orders import BuiltInOrders
from providers.outbox.port import NewNotice
from sandbox import built_in
from tests.fixtures.mail import Mailbox
from tests.providers.merchant import Merchant, cancellation, order
from tests.workflows.samples import an_id


def dispatcher(database: AsyncEngine, mailbox: Mailbox) -> NoticeDispatcher:
    return NoticeDispatcher(SqlBooks(database), BuiltInOrders(database), mailbox.mailer(), "shop.example")


async def put(database: AsyncEngine, *notices: NewNotice, email: str, language: str = "en") -> str:
    """An order with these notices in the outbox; the address and the language are the customer's."""
    order_id = an_id()
    placed = order(order_id).model_copy(update={"customer_id": f"C-{order_id}"})
    await built_in.add_order(database, placed, email=email, language=language)
    await Merchant.at(database).hold(cancellation(placed), notices)
    return order_id
