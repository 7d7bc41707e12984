"""The parts that the endpoints share."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from temporalio.client import Client
from temporalio.service import RPCError

from client.cancellations import Cancellations
from client.engine import read_run
from client.errors import ExitCode, StarterError
from domain.policy import Policy
from providers.cancellations.port import Register
from providers.inbox.port import Inbox
from runtime.api_keys import KeyFile
from runtime.api_settings import ApiSettings
from runtime.connection import connection
from runtime.plugin import plugin

TEMPORAL_WAIT = timedelta(seconds=5)


class Temporal:
    """The connection to Temporal, made when it is first needed and kept."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def client(self) -> Client:
        """Raises StarterError when Temporal does not answer."""
        async with self._connecting:
            if self._client is None:
                config = connection()
                try:
                    self._client = await Client.connect(**config, plugins=[plugin()], connect_timeout=TEMPORAL_WAIT)
                except (RPCError, RuntimeError):
                    raise StarterError(
                        ExitCode.UNREACHABLE, f"Temporal does not answer at {config['target_host']}."
                    ) from None
            return self._client

    async def cancellations(self) -> Cancellations:
        return Cancellations(await self.client())

    async def runs(self, order_id: str) -> bool:
        """Whether a cancellation of the order is under way, as far as Temporal answers."""
        try:
            return (await read_run(await self.client(), order_id, rpc_timeout=TEMPORAL_WAIT)).is_open
        except (RPCError, StarterError):
            return False


@dataclass(frozen=True)
class Parts:
    settings: ApiSettings
    temporal: Temporal
    events: Inbox
    register: Register
    keys: KeyFile
    policy: Policy
    arrived: asyncio.Event
    """Set when an event was stored, so that it is sent at once."""


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


SharedParts = Annotated[Parts, Depends(_parts)]
