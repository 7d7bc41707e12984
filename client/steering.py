"""A message of somebody who steers, and why it was not taken."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError

from client.errors import ExitCode, OrderNotFound, StarterError, is_left_unanswered
from client.pauses import find_pause
from client.runs import handle_of, is_refused_for_now
from client.status import Source, Status
from domain.contract import Answer, Message, UpdateType
from domain.decision import Rule, order_not_found
from domain.facts import Entry
from domain.messages import ResolveStep, RetryStep
from domain.request import STAFF, ActorKind
from domain.said import Steering, fact_about, fact_of
from domain.standing import action_of
from runtime.texts import translate, translate_code

_RESEND_AFTER, _LONGEST_RESEND = 0.1, 1.0  # seconds, doubled each time


async def send_message(client: Client, order_id: str, update: UpdateType[Message, Answer], message: Message) -> Answer:
    """To the run that is open; acknowledged when the books keep it. Sent again while the run's task is being repeated,
    because something else arrived as it ended: nothing is kept of what is sent meanwhile. Sent again, too, where the run was
    reset or terminated before it had answered: the books may keep it, and say so to whoever says the same again. The engine
    answers the id that it knows with that failure for ever, so this is another one."""
    update_id, resend_after = uuid4().hex, _RESEND_AFTER
    while True:
        try:
            answer: Answer = await handle_of(client, order_id).execute_update(
                update.name, message, id=update_id, result_type=update.answer
            )
            return answer
        except WorkflowUpdateFailedError as error:
            if not is_left_unanswered(error) or resend_after > _LONGEST_RESEND:
                raise
            update_id = uuid4().hex
        except RPCError as error:
            if not is_refused_for_now(error) or resend_after > _LONGEST_RESEND:
                raise
            if await find_pause(client, order_id, of_steps=False):
                raise
        await asyncio.sleep(resend_after)
        resend_after *= 2


def was_recorded(ended: Status, message: Steering) -> bool:
    """Whether the same person has said the same before the end: then it is acknowledged again. An order to try again is a
    new one each time."""
    if isinstance(message, RetryStep):
        return False
    if isinstance(message, ResolveStep):
        rows = ((row.step, row.target) for row in ended.steps)
        facts = [fact_about(message, message.step or step, message.target or target) for step, target in rows]
    else:
        facts = [fact_of(message)]
    actions = {row.action for fact in facts if (row := action_of(Entry(seq=0, at=datetime.now(UTC), fact=fact)))}
    return any(row.actor == message.actor and row.action in actions for row in ended.actions)


def explain_closed(ended: Status, message: Steering) -> StarterError:
    """Why nobody takes a message any more. A stranger learns nothing of somebody else's order."""
    order_id = ended.order_id
    if ended.decision and ended.decision.rule is Rule.ORDER_NOT_FOUND:
        if message.actor.kind not in STAFF:
            return OrderNotFound(ended.decision.sentence)
        return OrderNotFound(
            translate(
                "Order {order_id} has no cancellation to act on: the last request for it named a customer whose order it is "
                "not, or there is no such order. Ask again with the order's own customer.",
                order_id=order_id,
            )
        )
    if message.actor.kind is ActorKind.CUSTOMER and ended.customer_id not in {None, message.actor.id}:
        return OrderNotFound(order_not_found(order_id))
    if ended.source is not Source.RESULT:  # the run was lost
        return StarterError(ExitCode.REFUSED, ended.sentence)
    return StarterError(
        ExitCode.REFUSED,
        translate(
            "The cancellation of order {order_id} is over ({state}); nothing can be changed any more.",
            order_id=order_id,
            state=translate_code(ended.state),
        ),
    )
