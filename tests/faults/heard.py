"""The gateway's event of a refund that failed, or of a payment that the bank gave back, once no run of it is under way."""

from domain.request import CancellationRequest
from providers.books.inbox import SqlInbox
from providers.inbox.port import DueEvent, Provider
from tests.system import System


async def find_request(system: System, order_id: str, subject: str) -> CancellationRequest | None:
    """The request of the ended cancellation that the event opens again. None: it is matched to none."""
    event = DueEvent(
        provider=Provider.STRIPE,
        event_id=f"evt_{subject}",
        order_id=order_id,
        subject=subject,
        may_undo_outcome=True,
        attempts=1,
    )
    ended = await SqlInbox(system.engine).find_ended(event)
    return ended.request if ended else None
