"""The `/sandbox` endpoints: parcels in any state, scans, the clock, faults, effects, and the count of calls."""

from datetime import timedelta

from fastapi import APIRouter, HTTPException

from sandbox.carrier.easypost import Carrier
from sandbox.carrier.model import Advance, Effect, Fault, Health, LabelledParcel, ManualScan, NewParcel

router = APIRouter(prefix="/sandbox")

_CUSTOMER = {"name": "Sample Customer", "street1": "12911 Fork Rd", "city": "Baldwin", "state": "MD", "zip": "21013"}
_MERCHANT = {"company": "Sample Merchant", "street1": "417 Montgomery St", "city": "San Francisco", "state": "CA"}
_CONTACT = {"phone": "5555550100", "email": "sample@example.com", "country": "US"}
_DIMENSIONS = {"length": 9.0, "width": 6.0, "height": 2.0, "weight": 10.0}


@router.get("/health")
async def health(network: Carrier) -> Health:
    return Health(now=network.now())


@router.post("/clock/advance")
async def advance(body: Advance, network: Carrier) -> Health:
    return Health(now=network.advance(body.seconds))


@router.get("/effects")
async def effects(network: Carrier) -> list[Effect]:
    network.settle()
    return network.effects()


@router.get("/calls")
async def calls(network: Carrier, parcel: str | None = None) -> dict[str, int]:
    return network.calls(parcel)


@router.post("/faults", status_code=204)
async def add_fault(fault: Fault, network: Carrier) -> None:
    network.add_fault(fault)


@router.get("/parcels/{name}/faults")
async def faults_left(name: str, network: Carrier) -> int:
    return network.faults_left(name)


@router.delete("/faults", status_code=204)
async def clear_faults(network: Carrier, parcel: str | None = None) -> None:
    network.clear_faults(parcel)


@router.post("/parcels", status_code=201)
async def new_parcel(body: NewParcel, network: Carrier) -> LabelledParcel:
    parcel = network.create(
        script=body.script,
        reference=body.reference,
        to_address={**_CUSTOMER, **_CONTACT},
        from_address={**_MERCHANT, **_CONTACT, "zip": "94104"},
        dimensions=_DIMENSIONS,
        options={"sandbox_script": body.script},
    )
    network.buy(parcel, parcel.rates[0])
    assert parcel.tracking_number is not None
    return LabelledParcel(shipment_id=parcel.id, tracking_number=parcel.tracking_number)


@router.post("/parcels/{name}/scan", status_code=204)
async def scan(name: str, body: ManualScan, network: Carrier) -> None:
    parcel = network.find(name)
    if parcel is None or parcel.tracking_number is None:
        raise HTTPException(404, f"There is no parcel {name}.")
    network.scan(parcel, body.status, body.detail, ago=timedelta(seconds=body.seconds_ago))
