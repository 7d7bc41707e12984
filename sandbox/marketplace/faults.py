"""Faults: a call that is refused, limited, broken or cut off, before or after its effect was committed."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from sandbox.marketplace.ledger import Ledger
from sandbox.marketplace.model import FaultKind
from sandbox.serving import cut


def problem(status: int, message: str, retry_after: int | None = None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"message": message, "status": status}, status, headers=headers)


async def _orders_of(request: Request, ledger: Ledger) -> list[str]:
    """The orders that a call is about: it names them, or lines of one."""
    if request.method == "GET":
        return request.query_params.get("order_ids", "").split(",")
    body = await request.json()
    line_ids = [demand["order_line_id"] for asked in body.values() if isinstance(asked, list) for demand in asked]
    sale = ledger.sale_with(line_ids[0]) if line_ids else None
    return [sale.order_id] if sale else []


class FaultyRoute(APIRoute):
    """A route whose name is an `Operation`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def faulty(request: Request) -> Response:
            ledger: Ledger = request.app.state.ledger
            order_ids = await _orders_of(request, ledger)
            ledger.count_call(self.name, order_ids)
            fault = ledger.take_fault(self.name, order_ids)
            if fault is None:
                return await handle(request)
            match fault.fault:
                case FaultKind.REFUSE:
                    return problem(400, "The operation is not allowed in the current state")
                case FaultKind.HTTP_401:
                    return problem(401, "Unauthorized")
                case FaultKind.HTTP_429:
                    return problem(429, "Too many requests", fault.seconds)
                case FaultKind.HTTP_500:
                    return problem(500, "Internal server error")
                case FaultKind.DROP_BEFORE_COMMIT:
                    return await cut(request)
                case FaultKind.HTTP_500_AFTER_COMMIT:
                    await handle(request)
                    return problem(500, "Internal server error")
                case FaultKind.DROP_AFTER_COMMIT:
                    await handle(request)
                    return await cut(request)

        return faulty
