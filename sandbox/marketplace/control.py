"""The `/sandbox` endpoints: sales, what others than the seller do to them, faults, effects, and the count of calls."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException

from sandbox.marketplace.ledger import Declined
from sandbox.marketplace.mirakl import Sales
from sandbox.marketplace.model import Cancelation, Effect, Fault, Sale, Withdrawal

router = APIRouter(prefix="/sandbox")


async def _found(order_id: str, ledger: Sales) -> Sale:
    sale = ledger.sale(order_id)
    if sale is None:
        raise HTTPException(404, f"There is no sale {order_id}.")
    return sale


Found = Annotated[Sale, Depends(_found)]


@router.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/effects")
async def effects(ledger: Sales) -> list[Effect]:
    return ledger.effects()


@router.get("/calls")
async def calls(ledger: Sales, order_id: str | None = None) -> dict[str, int]:
    return ledger.calls(order_id)


@router.post("/faults", status_code=204)
async def add_fault(fault: Fault, ledger: Sales) -> None:
    ledger.add_fault(fault)


@router.delete("/faults", status_code=204)
async def clear_faults(ledger: Sales) -> None:
    ledger.clear_faults()


@router.post("/sales", status_code=204)
async def sell(sale: Sale, ledger: Sales) -> None:
    ledger.sell(sale)


@router.post("/sales/{order_id}/cancel", status_code=201)
async def withdraw(sale: Found, body: Withdrawal, ledger: Sales) -> Cancelation:
    try:
        return ledger.withdraw(sale, body)
    except Declined as declined:
        raise HTTPException(409, str(declined)) from declined


@router.post("/sales/{order_id}/ship", status_code=204)
async def ship(sale: Found, ledger: Sales) -> None:
    ledger.ship(sale)


@router.post("/sales/{order_id}/settle", status_code=204)
async def settle(sale: Found, ledger: Sales) -> None:
    ledger.settle(sale)
