"""The list that providers keep of their events, for those whose webhook never came."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Annotated, Protocol

from pydantic import Field

from providers.inbox.port import Provider, ProviderEvent

# What a provider may write into an event, as far as it is kept. Printable, so that every database takes it.
Text = Annotated[str, Field(max_length=255, pattern="^[ -~]*$")]
Id = Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]*$")]

Known = Callable[[str], Awaitable[bool]]
"""Whether the event of this id was kept already."""


# Rule: An event that never came is found in the provider's list [the list]
class EventSource(Protocol):
    """The list that one provider keeps of its events."""

    provider: Provider

    def since(self, at: datetime, known: Known) -> AsyncIterator[ProviderEvent]:
        """The events that were made then or later and are not `known`, of the kinds that a cancellation waits for, read by
        the same rules as the bodies of webhooks. An event of which its provider does not say what it is about is left out:
        kept like that, its webhook would be taken for a repetition.

        Raises Unavailable when there is no usable answer, and Refused (PROVIDER_REJECTED_CREDENTIALS) when the key is not
        accepted.
        """
        ...

    async def aclose(self) -> None: ...
