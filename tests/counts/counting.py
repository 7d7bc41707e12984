"""What a run costs, in things that can be counted: they do not depend on the machine."""

import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.system import Handle, System

BOUNDS = Path(__file__).with_name("bounds.toml")

_BYTES_APART = 400
"""Ids, times and codes differ in length from run to run."""


class Counts(BaseModel):
    """Of one run. `cloud_actions` are what Temporal Cloud bills and the history shows: the start, each update, signal,
    timer, activity and upsert, and the local activities of one workflow task together
    (https://docs.temporal.io/cloud/actions); retries, heartbeats and queries come on top. `history_bytes` is the
    size of its history, `statements` what the worker sent to the database, BEGIN included, and `provider_calls` what the
    gateway, the carrier and the marketplace were asked."""

    events: int
    workflow_tasks: int
    activities: int
    local_activities: int
    upserts: int
    cloud_actions: int
    history_bytes: int
    statements: int
    provider_calls: int


def bounds() -> dict[str, Counts]:
    """By path, as they stand in bounds.toml."""
    return {path: Counts(**found) for path, found in tomllib.loads(BOUNDS.read_text(encoding="utf-8")).items()}


def exceeded(found: Counts, bound: Counts) -> list[str]:
    """What costs more than its bound. What costs less is said too: a bound that is too high guards nothing."""
    wrong = []
    for name, value in found.model_dump().items():
        allowed = getattr(bound, name)
        apart = _BYTES_APART if name == "history_bytes" else 0
        if value > allowed:
            wrong.append(f"{name}: {value}, and {allowed} are allowed")
        elif value < allowed - apart:
            wrong.append(f"{name}: {value} will do, lower the {allowed} in bounds.toml")
    return wrong


@asynccontextmanager
async def statements_of(engine: AsyncEngine) -> AsyncIterator[list[str]]:
    """The statements that are sent to the database meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def provider_calls(system: System) -> int:
    """Ever made to the stand-ins."""
    shop = system.shop
    assert shop.marketplace is not None
    found = [await shop.gateway.calls(), await shop.carrier.calls(), await shop.marketplace.calls()]
    return sum(sum(calls.values()) for calls in found)


async def counts_of(handle: Handle, *, statements: int, calls: int) -> Counts:
    events = (await handle.fetch_history()).events
    kinds = [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events]
    local = [event for event in events if _is_local(event)]
    together = {event.marker_recorded_event_attributes.workflow_task_completed_event_id for event in local}
    billed = (
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
        "WORKFLOW_EXECUTION_SIGNALED",
        "TIMER_STARTED",
        "ACTIVITY_TASK_SCHEDULED",
        "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
    )
    return Counts(
        events=len(events),
        workflow_tasks=kinds.count("WORKFLOW_TASK_COMPLETED"),
        activities=kinds.count("ACTIVITY_TASK_SCHEDULED"),
        local_activities=len(local),
        upserts=kinds.count("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"),
        cloud_actions=_count(kinds, billed) + len(together),
        history_bytes=sum(event.ByteSize() for event in events),
        statements=statements,
        provider_calls=calls,
    )


def _is_local(one: HistoryEvent) -> bool:
    return one.marker_recorded_event_attributes.marker_name == "core_local_activity"


def _count(kinds: Sequence[str], wanted: Sequence[str]) -> int:
    return sum(kinds.count(kind) for kind in wanted)
