"""The search attributes of a cancellation: how operations finds runs in the Temporal UI and on the command line.

They are plain text for everybody who may list workflows, so they hold ids, states, times and an amount, never a person's
data. Why the amount is a text: docs/decisions/0092-the-amount-in-lists-is-a-text.md.
"""

from collections.abc import Sequence
from datetime import datetime

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey

ORDER_ID = SearchAttributeKey.for_keyword("OrderId")
STATE = SearchAttributeKey.for_keyword("CancellationState")
REASON = SearchAttributeKey.for_keyword("CancellationReason")
GOODS = SearchAttributeKey.for_keyword("GoodsStatus")
MONEY = SearchAttributeKey.for_keyword("MoneyStatus")
PAPER = SearchAttributeKey.for_keyword("PaperStatus")
OWNER = SearchAttributeKey.for_keyword("AttentionOwner")
DUE_AT = SearchAttributeKey.for_datetime("DueAt")
AMOUNT = SearchAttributeKey.for_keyword("Amount")
AWAY = SearchAttributeKey.for_keyword("SystemAway")

PAUSE_INFO = SearchAttributeKey.for_keyword_list("TemporalPauseInfo")
"""The server's own: what is paused of a run, or was when it ended."""

# Rule: A wait shows in the list of runs [the attributes]
ALL: Sequence[SearchAttributeKey[str] | SearchAttributeKey[datetime]] = (
    ORDER_ID,
    STATE,
    REASON,
    GOODS,
    MONEY,
    PAPER,
    OWNER,
    DUE_AT,
    AMOUNT,
    AWAY,
)


def type_name(key: SearchAttributeKey[str] | SearchAttributeKey[datetime]) -> str:
    """The type as the Temporal CLI writes it: Keyword, Datetime."""
    return "Datetime" if key is DUE_AT else "Keyword"


def creating_command(names: Sequence[str], namespace: str) -> str:
    """The Temporal CLI command that creates the attributes of these names."""
    pairs = " ".join(f"--name {key.name} --type {type_name(key)}" for key in ALL if key.name in names)
    return f"temporal operator search-attribute create --namespace {namespace} {pairs}"


async def missing(client: Client) -> list[str]:
    """Names of the attributes that the namespace does not have."""
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return [key.name for key in ALL if key.name not in found.custom_attributes]


async def create(client: Client) -> None:
    """Create the attributes; for test servers, whose namespace is ours."""
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={
                key.name: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME
                if key is DUE_AT
                else IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
                for key in ALL
            },
        )
    )
