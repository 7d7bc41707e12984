"""Runs that somebody has paused, as people read it: what stands still, who paused it and why, and the command that lets it
go on. Nothing of a cancellation unpauses it, so it is a wait like any other, and operations owns it."""

import shlex
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from client.engine import Pause, Run, read_run
from domain.outcome import State, Wait
from domain.step import Owner
from runtime.texts import translate

STATE = State.NEEDS_ATTENTION
OWNER = Owner.OPERATIONS
"""State and owner of a paused run, whatever it has published itself."""

_READ_WAIT = timedelta(seconds=5)


# Rule: A run or a step that somebody has paused waits for operations
def waits_of(run: Run, namespace: str) -> tuple[Wait, ...]:
    """One for each pause; due at once, because no clock of the cancellation goes on with it."""
    return tuple(
        Wait(state=STATE, owner=OWNER, reason=describe_pause(run, pause, namespace), due_at=pause.at)
        for pause in run.pauses
    )


def describe_pause(run: Run, pause: Pause, namespace: str, next_step: str = "") -> str:
    """`next_step` comes before the command that unpauses."""
    words = {
        "order_id": run.order_id,
        "at": f"{pause.at:%Y-%m-%d %H:%M}",
        "who": pause.identity or translate("somebody"),
        "why": f' ("{pause.reason}")' if pause.reason else "",
    }
    place = f"--namespace {shlex.quote(namespace)} --workflow-id {shlex.quote(run.workflow_id)}"
    if pause.activity_id:
        paused = translate(
            "Step {step} of order {order_id} was paused at {at} UTC by {who}{why}. It is not tried again until it is "
            "unpaused.",
            step=pause.activity,
            **words,
        )
        command = f"temporal activity unpause {place} --activity-id {shlex.quote(pause.activity_id)}"
    else:
        paused = translate(
            "The cancellation of order {order_id} was paused at {at} UTC by {who}{why}. It stands still, and nothing "
            "of it is lost.",
            **words,
        )
        command = f"temporal workflow unpause {place}"
    next_step = next_step or translate("To unpause it")
    return f"{paused} {next_step}: {command}"


async def find_pause(client: Client, order_id: str, next_step: str = "", *, of_steps: bool = True) -> str:
    """The sentence about what is paused of the order's latest run, the run itself first; empty where nothing is, or where
    the engine does not say in time."""
    try:
        run = await read_run(client, order_id, rpc_timeout=_READ_WAIT)
    except RPCError:
        return ""
    found = [pause for pause in run.pauses if of_steps or not pause.activity_id]
    return describe_pause(run, found[0], client.namespace, next_step) if found else ""
