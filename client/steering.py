"""A message of somebody who steers, and why it was not taken."""

from typing import Protocol, TypeVar

from temporalio.client import Client
from temporalio.workflow import UpdateMethodMultiParam

from client.errors import ExitCode, OrderNotFound, StarterError
from client.runs import handle_of
from client.status import Source, Status
from domain.messages import Acknowledgement
from domain.policy import Rule, order_not_found
from domain.request import Actor, ActorKind
from workflows.cancellation import CancellationWorkflow


class _Steering(Protocol):
    """Every message that steers says who acts."""

    @property
    def actor(self) -> Actor: ...


Message = TypeVar("Message", bound=_Steering)


async def send_message(
    client: Client,
    order_id: str,
    update: UpdateMethodMultiParam[[CancellationWorkflow, Message], Acknowledgement],
    message: Message,
) -> Acknowledgement:
    """To the run that is open; acknowledged when the books keep it."""
    return await handle_of(client, order_id).execute_update(update, message)


def explain_closed(ended: Status, message: _Steering) -> StarterError:
    """Why nobody takes a message any more. A stranger learns nothing of somebody else's order."""
    order_id = ended.order_id
    if ended.decision and ended.decision.rule is Rule.ORDER_NOT_FOUND:
        return OrderNotFound(ended.decision.sentence)
    if message.actor.kind is ActorKind.CUSTOMER and ended.customer_id not in {None, message.actor.id}:
        return OrderNotFound(order_not_found(order_id))
    if ended.source is not Source.RESULT:  # the run was lost
        return StarterError(ExitCode.REFUSED, ended.sentence)
    return StarterError(
        ExitCode.REFUSED,
        f"The cancellation of order {order_id} is over ({ended.state.value.replace('_', ' ')}); nothing can be changed any "
        "more.",
    )
