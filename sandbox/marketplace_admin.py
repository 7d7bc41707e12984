"""How the demo and the tests start and steer the marketplace stand-in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx2
from pydantic import TypeAdapter

from sandbox.marketplace.model import (
    Actor,
    Cancelation,
    Effect,
    Fault,
    FaultKind,
    Operation,
    Sale,
    SoldLine,
    Withdrawal,
)
from sandbox.serving import Process

_EFFECTS = TypeAdapter(list[Effect])
_CALLS = TypeAdapter(dict[str, int])


def marketplace_process(folder: Path, *, port: int = 0, orders_every: float = 0) -> Process:
    """The process, not started yet. Started again on the same folder it knows everything that it knew. In life its list of
    orders may be read once in 60 seconds; without `orders_every` at any time."""
    argv = ["-m", "sandbox.marketplace", "--port", str(port), "--data", str(folder / "marketplace.sqlite")]
    argv += ["--orders-every", str(orders_every)]
    folder.mkdir(parents=True, exist_ok=True)
    return Process("marketplace", argv, folder / "marketplace.log")


class MarketplaceAdmin:
    """Client of `/sandbox`. `url` is also what the adapter is given as base URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.AsyncClient(base_url=f"{url}/sandbox", timeout=10)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def sell(
        self,
        order_id: str,
        lines: Sequence[SoldLine],
        *,
        currency: str = "EUR",
        charged: bool = True,
        tax_for_seller: bool = True,
        takes_off: bool = False,
    ) -> None:
        """Line ids are the marketplace's: no two sales may have the same."""
        sale = Sale(
            order_id=order_id,
            lines=list(lines),
            currency=currency,
            charged=charged,
            tax_for_seller=tax_for_seller,
            takes_off=takes_off,
        )
        await self._post("/sales", sale.model_dump_json())

    async def withdraw(
        self,
        order_id: str,
        line_id: str,
        quantity: int,
        *,
        amount: int | None = None,
        by: Actor = Actor.MARKETPLACE,
        reports_quantity: bool = True,
    ) -> Cancelation:
        """Let the marketplace or the buyer cancel on their own."""
        body = Withdrawal(line_id=line_id, quantity=quantity, amount=amount, by=by, reports_quantity=reports_quantity)
        answer = await self._post(f"/sales/{order_id}/cancel", body.model_dump_json())
        return Cancelation.model_validate_json(answer.content)

    async def ship(self, order_id: str) -> None:
        await self._post(f"/sales/{order_id}/ship")

    async def settle(self, order_id: str) -> None:
        """Let the marketplace pay the buyer what it owes."""
        await self._post(f"/sales/{order_id}/settle")

    async def effects(self, order_id: str | None = None) -> list[Effect]:
        """Every effect that was ever committed, oldest first; of one sale when it is named."""
        answer = (await self._http.get("/effects")).raise_for_status()
        effects = _EFFECTS.validate_json(answer.content)
        return [effect for effect in effects if order_id in {None, effect.object}]

    async def calls(self, order_id: str | None = None) -> dict[str, int]:
        """How often each operation was called: about one sale or in all."""
        answer = await self._http.get("/calls", params={"order_id": order_id} if order_id else {})
        return _CALLS.validate_json(answer.raise_for_status().content)

    async def add_fault(
        self,
        operation: Operation,
        fault: FaultKind,
        *,
        times: int = 1,
        after: int = 0,
        order_id: str | None = None,
        seconds: int = 2,
    ) -> None:
        """Let the next `times` calls of the operation fail, `after` some that do not, for one sale or for any."""
        body = Fault(operation=operation, fault=fault, times=times, after=after, order_id=order_id, seconds=seconds)
        await self._post("/faults", body.model_dump_json())

    async def clear_faults(self) -> None:
        """Take every fault back."""
        (await self._http.delete("/faults")).raise_for_status()

    async def _post(self, path: str, body: str = "") -> httpx2.Response:
        answer = await self._http.post(path, content=body, headers={"Content-Type": "application/json"})
        return answer.raise_for_status()
