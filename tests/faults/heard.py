"""The gateway's event that a refund has failed, once no run of its order is under way."""

from domain.request import CancellationRequest
from providers.books.inbox import SqlInbox
from providers.inbox.port import DueEvent, Provider
from tests.system import System


async def find_request(system: System, order_id: str, refund: str) -> CancellationRequest | None:
    """The request of the ended cancellation that the event opens again. None: it is matched to none."""
    event = DueEvent(
        provider=Provider.STRIPE,
        event_id=f"evt_{refund}",
        order_id=order_id,
        subject=refund,
        may_undo_outcome=True,
        attempts=1,
    )
    ended = await SqlInbox(system.engine).find_ended(event)
    return ended.request if ended else None
