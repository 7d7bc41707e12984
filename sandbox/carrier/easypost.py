"""EasyPost v2, as far as its official SDK needs it for labels, tracking and events."""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from sandbox.carrier.answers import event_json, shipment_json, tracker_json
from sandbox.carrier.faults import FaultyRoute
from sandbox.carrier.model import EASYPOST_KEY, Operation, Parcel, Script
from sandbox.carrier.network import Declined, Network


class Problem(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def answer(problem: Problem, retry_after: int | None = None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    error = {"code": problem.code, "message": problem.message, "errors": []}
    return JSONResponse({"error": error}, problem.status, headers=headers)


def _inactive_key() -> Problem:
    return Problem(401, "APIKEY.INACTIVE", "This api key is no longer active. Please use a different api key.")


class EasyPostRoute(FaultyRoute):
    @staticmethod
    def broken(status: int, retry_after: int | None) -> Response:
        if status == 401:
            return answer(_inactive_key())
        if status == 429:
            return answer(Problem(429, "RATE_LIMITED", "You have been rate limited."), retry_after)
        return answer(Problem(status, "INTERNAL_SERVER_ERROR", "We're sorry, something went wrong."))


async def the_network(request: Request) -> Network:
    network: Network = request.app.state.network
    return network


Carrier = Annotated[Network, Depends(the_network)]


async def _authorised(request: Request) -> None:
    """The key as a bearer token, or as the user name of basic authentication."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    if given != EASYPOST_KEY:
        raise _inactive_key()


router = APIRouter(prefix="/v2", route_class=EasyPostRoute, dependencies=[Depends(_authorised)])


class ShipmentParams(BaseModel):
    to_address: dict[str, Any]
    from_address: dict[str, Any]
    parcel: dict[str, Any]
    customs_info: dict[str, Any] | None = None
    reference: str | None = None
    options: dict[str, Any] | None = None


class CreateShipment(BaseModel):
    shipment: ShipmentParams


class RateId(BaseModel):
    id: str


class BuyShipment(BaseModel):
    rate: RateId


class TrackerParams(BaseModel):
    tracking_code: str
    carrier: str | None = None


class CreateTracker(BaseModel):
    tracker: TrackerParams


def _found(network: Network, name: str) -> Parcel:
    parcel = network.find(name)
    if parcel is None:
        raise Problem(404, "NOT_FOUND", "The requested resource could not be found.")
    return parcel


@router.post("/shipments", name=Operation.SHIPMENT_CREATE, status_code=201)
async def create_shipment(body: CreateShipment, network: Carrier) -> dict[str, Any]:
    given = body.shipment
    options = given.options or {}
    try:
        parcel = network.create(
            script=Script(options.get("sandbox_script", Script.LABEL_ONLY)),
            reference=given.reference,
            to_address=given.to_address,
            from_address=given.from_address,
            dimensions=given.parcel,
            customs_info=given.customs_info,
            options=options,
        )
    except (Declined, ValueError) as problem:
        raise Problem(422, "SHIPMENT.INVALID_PARAMS", str(problem)) from problem
    return shipment_json(parcel)


@router.get("/shipments/{name}", name=Operation.SHIPMENT_READ)
async def read_shipment(name: str, network: Carrier) -> dict[str, Any]:
    return shipment_json(_found(network, name))


@router.post("/shipments/{name}/buy", name=Operation.SHIPMENT_BUY)
async def buy_shipment(name: str, body: BuyShipment, network: Carrier) -> dict[str, Any]:
    parcel = _found(network, name)
    if parcel.bought_rate is not None:
        raise Problem(422, "SHIPMENT.POSTAGE.EXISTS", "Postage already exists for this shipment.")
    rate = next((rate for rate in parcel.rates if rate.id == body.rate.id), None)
    if rate is None:
        raise Problem(422, "SHIPMENT.INVALID_PARAMS", "The rate does not belong to this shipment.")
    network.buy(parcel, rate)
    return shipment_json(parcel)


@router.post("/shipments/{name}/refund", name=Operation.SHIPMENT_REFUND)
async def refund_shipment(name: str, network: Carrier) -> dict[str, Any]:
    parcel = _found(network, name)
    try:
        network.void(parcel)
    except Declined as declined:
        raise Problem(422, "SHIPMENT.REFUND.UNAVAILABLE", str(declined)) from declined
    return shipment_json(parcel)


@router.post("/trackers", name=Operation.TRACKER_CREATE)
async def create_tracker(body: CreateTracker, network: Carrier) -> dict[str, Any]:
    """EasyPost gives the tracker that exists; a number that is not ours has none here."""
    parcel = network.find(body.tracker.tracking_code)
    if parcel is None or parcel.tracking_number != body.tracker.tracking_code:
        raise Problem(422, "TRACKER.CREATE.ERROR", "The tracking code was not recognised.")
    return tracker_json(parcel)


@router.get("/trackers/{name}", name=Operation.TRACKER_READ)
async def read_tracker(name: str, network: Carrier) -> dict[str, Any]:
    parcel = _found(network, name)
    if parcel.tracker_id != name:
        raise Problem(404, "NOT_FOUND", "The requested resource could not be found.")
    return tracker_json(parcel)


@router.get("/events", name=Operation.EVENT_LIST)
async def list_events(
    network: Carrier, page_size: Annotated[int, Query(ge=1, le=100)] = 20, before_id: str | None = None
) -> dict[str, Any]:
    """Newest first, and without what each is about: that goes to webhooks only."""
    with network.outbox() as db:
        place = db.execute("SELECT seq FROM events WHERE event_id = ?", (before_id,)).fetchone()
        if before_id is not None and place is None:
            raise Problem(422, "PARAMETER.INVALID", "There is no such event.")
        rows = db.execute(
            "SELECT event_id, description, made_at FROM events WHERE ? IS NULL OR seq < ? ORDER BY seq DESC LIMIT ?",
            (before_id, place[0] if place else None, page_size + 1),
        ).fetchall()
    events = [event_json(event_id, description, made_at) for event_id, description, made_at in rows[:page_size]]
    return {"events": events, "has_more": len(rows) > page_size}


@router.get("/events/{event_id}/payloads", name=Operation.EVENT_PAYLOADS)
async def list_payloads(event_id: str, network: Carrier) -> dict[str, Any]:
    """The attempts to deliver an event; none without a webhook."""
    with network.outbox() as db:
        if db.execute("SELECT 1 FROM events WHERE event_id = ?", (event_id,)).fetchone() is None:
            raise Problem(404, "PAYLOAD.NOT_FOUND", "The payload(s) could not be found.")
        rows = db.execute("SELECT document FROM payloads WHERE event_id = ? ORDER BY seq", (event_id,)).fetchall()
    return {"payloads": [json.loads(document) for (document,) in rows]}


def install(app: FastAPI) -> None:
    app.include_router(router)

    @app.exception_handler(Problem)
    async def refuse(_: Request, problem: Problem) -> Response:
        return answer(problem)
