"""Canaries: what no log, no search attribute and no failure text may show."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.message import Message
from temporalio.api.failure.v1 import Failure
from temporalio.client import WorkflowHistory

from sandbox.carrier.model import EASYPOST_KEY, UPS_CLIENT_SECRET
from sandbox.gateway_admin import SANDBOX_KEY
from tests.faults.model import Invariant, Violation

NOTE = "Jo Canary, jo@canary.example, paid with 4242 4242 4242 4242"
"""In the note of every request."""

CANARIES = (
    "4242 4242",
    "Jo Canary",
    "@canary.example",
    "@customer.example",
    SANDBOX_KEY,
    EASYPOST_KEY,
    UPS_CLIENT_SECRET,
)


def shown_in(place: str, text: str, order_id: str = "") -> Iterator[Violation]:
    for canary in CANARIES:
        if canary in text:
            around = text[max(text.index(canary) - 60, 0) :][:160]
            yield Violation(
                invariant=Invariant.CONFIDENTIAL, order_id=order_id, sentence=f"{place} shows {canary!r}: {around!r}"
            )


def shown_in_logs(logs: Iterable[Path]) -> Iterator[Violation]:
    for log in logs:
        yield from shown_in(log.name, log.read_text(encoding="utf-8"))


def shown_in_history(history: WorkflowHistory, order_id: str) -> Iterator[Violation]:
    """Search attributes and failure texts; what a codec would encrypt is left out."""
    for event in history.events:
        for failure in _failures_in(event):
            text = " ".join((failure.message, failure.stack_trace, failure.application_failure_info.type))
            yield from shown_in(f"the failure of event {event.event_id}", text, order_id)
        started = event.workflow_execution_started_event_attributes.search_attributes
        upserted = event.upsert_workflow_search_attributes_event_attributes.search_attributes
        for name, value in (*started.indexed_fields.items(), *upserted.indexed_fields.items()):
            yield from shown_in(f"search attribute {name}", json.dumps(value.data.decode()), order_id)


def _failures_in(message: Message) -> Iterator[Failure]:
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        parts = [value] if isinstance(value, Message) else value
        for part in parts:
            if isinstance(part, Failure):
                yield part
            yield from _failures_in(part)
