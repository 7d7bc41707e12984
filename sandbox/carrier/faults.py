"""Faults: a request that is slow, refused, broken or cut off, before or after its effect was committed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from sandbox.carrier.model import FaultKind
from sandbox.carrier.network import Network
from sandbox.serving import cut


async def _name_in(request: Request) -> str | None:
    """The parcel that a call names: in its path, or by the reference that a new shipment is to have."""
    named: str | None = request.path_params.get("name") or request.path_params.get("tracking_number")
    if named or not request.headers.get("content-type", "").startswith("application/json"):
        return named
    body = await request.json()
    about = body.get("shipment") if isinstance(body, dict) else None
    return about.get("reference") if isinstance(about, dict) else None


class FaultyRoute(APIRoute):
    """A route whose name is an `Operation`. `broken` words the API's own answer to an error of the server."""

    @staticmethod
    def broken(status: int, retry_after: int | None) -> Response:
        raise NotImplementedError

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def faulty(request: Request) -> Response:
            network: Network = request.app.state.network
            network.settle()
            named = await _name_in(request)
            network.count_call(self.name, named)
            fault = network.take_fault(self.name, named)
            if fault is None:
                return await handle(request)
            match fault.fault:
                case FaultKind.SLOW:
                    await asyncio.sleep(fault.seconds)
                    return await handle(request)
                case FaultKind.HTTP_401:
                    return self.broken(401, None)
                case FaultKind.HTTP_429:
                    return self.broken(429, fault.seconds)
                case FaultKind.HTTP_500:
                    return self.broken(500, None)
                case FaultKind.DROP_BEFORE_COMMIT:
                    return await cut(request)
                case FaultKind.HTTP_500_AFTER_COMMIT:
                    await handle(request)
                    return self.broken(500, None)
                case FaultKind.DROP_AFTER_COMMIT:
                    await handle(request)
                    return await cut(request)

        return faulty
