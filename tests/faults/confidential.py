"""Canaries: what no log, no search attribute and no failure text may show."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from google.protobuf.message import Message
from temporalio.api.failure.v1 import Failure
from temporalio.client import WorkflowHistory
from temporalio.service import RPCError

from domain.outcome import Wait
from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_SECRET
from sandbox.gateway_admin import SANDBOX_KEY
from tests.faults.model import Invariant, Violation
from tests.system import Handle

NOTE = "Jo Canary, jo@canary.example, paid with 4242 4242 4242 4242"
"""In the note of every request that the people of a story (staff.py, words.py) and those of the swarm make."""

CANARIES = (
    "4242 4242",
    "Jo Canary",
    "@canary.example",
    "@customer.example",
    SANDBOX_KEY,
    EASYPOST_KEY,
    UPS_CLIENT_SECRET,
)


def shown_in(place: str, text: str) -> Iterator[str]:
    for canary in CANARIES:
        if canary in text:
            around = text[max(text.index(canary) - 60, 0) :][:160]
            yield f"{place} shows {canary!r}: {around!r}"


def shown_in_logs(logs: Iterable[Path]) -> Iterator[Violation]:
    for log in logs:
        for sentence in shown_in(log.name, log.read_text(encoding="utf-8")):
            yield Violation(invariant=Invariant.CONFIDENTIAL, order_id="", sentence=sentence)


async def shown_in_runs(handles: Sequence[Handle]) -> list[str]:
    found: list[str] = []
    for handle in handles:
        with suppress(RPCError):  # the engine may have been made to forget it
            found += shown_in_history(await handle.fetch_history())
    return found


def shown_in_history(history: WorkflowHistory) -> Iterator[str]:
    """Search attributes and failure texts; what a codec would encrypt is left out."""
    for event in history.events:
        yield from shown_in_failures(f"event {event.event_id}", event)
        started = event.workflow_execution_started_event_attributes.search_attributes
        upserted = event.upsert_workflow_search_attributes_event_attributes.search_attributes
        for name, value in (*started.indexed_fields.items(), *upserted.indexed_fields.items()):
            yield from shown_in(f"search attribute {name}", json.dumps(value.data.decode()))


def shown_in_failures(place: str, *messages: Message) -> Iterator[str]:
    for message in messages:
        for failure in _failures_in(message):
            text = " ".join((failure.message, failure.stack_trace, failure.application_failure_info.type))
            yield from shown_in(f"the failure of {place}", text)


def shown_in_waits(waits: Sequence[Wait]) -> Iterator[str]:
    for wait in waits:
        yield from shown_in(f"the wait at {wait.step or wait.state}", wait.reason)


def _failures_in(message: Message) -> Iterator[Failure]:
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        parts = [value] if isinstance(value, Message) else value
        for part in parts:
            if isinstance(part, Failure):
                yield part
            yield from _failures_in(part)
