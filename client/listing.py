"""The list of cancellations: one row for each, by the latest run that knows it."""

import base64
import binascii
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from temporalio.client import Client
from temporalio.common import SearchAttributeKey

from client import pauses
from client.engine import IS_NOT_PAUSED, IS_PAUSED, RunPage, list_runs, read_page
from client.errors import ExitCode, StarterError
from client.runs import CANCELLATIONS, quoted
from client.status import Summary
from domain.base import Value
from domain.outcome import State
from domain.request import workflow_id
from domain.step import Owner
from runtime import search_attributes as attributes
from runtime.texts import translate

_LARGEST_PAGE = 100
_CHECKED = 8


class Filter(Value):
    """What is listed: all, or those for which everything given holds. `overdue`: what they wait for was due before that
    time. `since`: the run began then or later."""

    order_ids: tuple[str, ...] | None = None
    state: State | None = None
    owner: Owner | None = None
    overdue: datetime | None = None
    since: datetime | None = None

    def query(self) -> str:
        """For the engine."""
        wanted = [CANCELLATIONS]
        if self.order_ids is not None:
            wanted.append(f"WorkflowId IN ({', '.join(quoted(workflow_id(order_id)) for order_id in self.order_ids)})")
        if self.state:
            wanted.append(_published(attributes.STATE, self.state, of_paused=pauses.STATE))
        if self.owner:
            wanted.append(_published(attributes.OWNER, self.owner, of_paused=pauses.OWNER))
        if self.overdue:
            wanted.append(f"{attributes.DUE_AT.name} < {quoted(self.overdue.isoformat())} AND CloseTime IS NULL")
        if self.since:
            wanted.append(f"StartTime >= {quoted(self.since.isoformat())}")
        return " AND ".join(wanted)


EVERYTHING = Filter()


class SummaryPage(Value):
    """Some cancellations, those with an open run first. `next_cursor` is where the next page begins; None: this is the
    last one."""

    cancellations: tuple[Summary, ...]
    next_cursor: str | None = None


async def list_page(client: Client, which: Filter, *, limit: int, cursor: str | None) -> SummaryPage:
    """StarterError: WRONG_INPUT when the cursor is not ours."""
    if which.order_ids == ():
        return SummaryPage(cancellations=())
    query, token = which.query(), _token_of(cursor)
    shown: dict[tuple[str, str | None], Summary] = {}
    while len(shown) < limit:
        page = await read_page(client, query, min(limit - len(shown), _LARGEST_PAGE), token)
        for summary in await _latest(client, page):
            shown.setdefault(summary.key, summary)
        token = page.next_token
        if not token:
            break
    return SummaryPage(cancellations=tuple(shown.values()), next_cursor=_cursor_of(token) if token else None)


def _cursor_of(token: bytes) -> str:
    """With a check sum: the engine takes one that is not its own for a fault of its store, and repeats it for long."""
    return base64.urlsafe_b64encode(sha256(token).digest()[:_CHECKED] + token).decode()


def _token_of(cursor: str | None) -> bytes:
    """StarterError: WRONG_INPUT."""
    if cursor is None:
        return b""
    try:
        decoded = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    token = decoded[_CHECKED:]
    if not token or _cursor_of(token) != cursor:
        raise StarterError(
            ExitCode.WRONG_INPUT,
            translate(
                "The cursor is not of this list; take `next_cursor` of its last page, or start from the first page."
            ),
        )
    return token


async def _latest(client: Client, page: RunPage) -> list[Summary]:
    """Those of the page whose run is the latest of its cancellation: what an earlier one has published does not hold any
    more, and the latest stands on another page."""
    summaries = [Summary.of(run) for run in page.runs]
    closed = {summary.order_id for summary in summaries if summary.ended_at is not None}
    if not closed:
        return summaries
    ids = ", ".join(quoted(workflow_id(order_id)) for order_id in sorted(closed))
    newest: dict[tuple[str, str | None], str] = {}
    async for run in list_runs(client, f"{CANCELLATIONS} AND WorkflowId IN ({ids})"):
        found = Summary.of(run)
        newest.setdefault(found.key, found.run_id)
    return [summary for summary in summaries if newest.get(summary.key, summary.run_id) == summary.run_id]


def _published(attribute: SearchAttributeKey[str], word: StrEnum, *, of_paused: StrEnum) -> str:
    """The filter for what a run has published. A paused one is found by what a pause means instead."""
    published = f"{attribute.name} = '{word.value}'"
    return f"({published} OR {IS_PAUSED})" if word is of_paused else f"({published} AND {IS_NOT_PAUSED})"
