"""UPS Delivery Intercept v2 by its OpenAPI document, as strict as that document about headers and bodies.

The document leaves the codes of a decline to a list outside it. The 71xx below are the stand-in's own; a client has to get
along without knowing them.
"""

import base64
import binascii
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, FastAPI, Form, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from sandbox.carrier.easypost import Carrier
from sandbox.carrier.faults import FaultyRoute
from sandbox.carrier.model import UPS_CLIENT_ID, UPS_CLIENT_SECRET, InterceptState, Operation, Parcel
from sandbox.carrier.network import Declined, Network

TOKEN_LIFETIME = timedelta(seconds=14399)

_DECLINED = "7103"
_NOT_CANCELLED = "7104"
_NOT_OURS = "7105"

Phone = Annotated[str, Field(pattern=r"^(\+)[0-9]{1,13}$")]
Extension = Annotated[str, Field(pattern=r"^(\+)[0-9]{1,3}$")]
Email = Annotated[str, Field(max_length=50, pattern=r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Z|a-z]{2,}$")]
TrackingNumber = Annotated[str, Path(pattern=r"^(1Z)[A-Z0-9]{16}$")]
Reason = Literal["AM", "AN", "AQ", "AR", "AS", "FA", "KR", "KS", "KV"]


class ContactInfo(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=30)]
    telephone: Phone
    phoneExt: Extension | None = None  # noqa: N815 - the wire's names
    emailAddress: Email | None = None  # noqa: N815
    altTelephone: Phone | None = None  # noqa: N815
    altPhoneExt: Extension | None = None  # noqa: N815
    displayPhoneNumber: bool = False  # noqa: N815


class InterceptRequest(BaseModel):
    """`specialInstructions` must be there but may be null."""

    model_config = ConfigDict(extra="forbid", strict=True)

    requestType: Literal["WC", "SC", "FD", "AA", "RS"] | None = None  # noqa: N815
    requesterContactInfo: ContactInfo  # noqa: N815
    reasonForReturn: Reason | None = None  # noqa: N815
    deliveryDate: Annotated[str, Field(pattern=r"^\d{8}$")] | None = None  # noqa: N815
    specialInstructions: Annotated[str, Field(min_length=1, max_length=254)] | None  # noqa: N815
    newDeliveryAddress: dict[str, Any] | None = None  # noqa: N815


_FAILED = "System Error"
_WORDS = {401: "Invalid Authentication Information.", 429: "Too Many Requests"}
_WORDS_FOR_TOKENS = {401: "ClientId is Invalid", 429: "Too Many Requests"}


class Problem(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class NoToken(Problem):
    """The endpoint of the tokens says no: its answers have no code of a transaction."""


def answer(request: Request | None, problem: Problem, retry_after: int | None = None) -> Response:
    transaction = request.headers.get("transId", "") if request else ""
    response: dict[str, Any] = {"errors": [{"code": problem.code, "message": problem.message}]}
    if isinstance(problem, NoToken):
        return JSONResponse({"response": response}, problem.status, _waiting(retry_after))
    response["statusCode"] = str(problem.status)
    headers = {"APIErrorCode": problem.code, "APIErrorMessage": problem.message, "BkndTransId": uuid4().hex[:12]}
    if 1 <= len(transaction) <= 14:
        response["transactionId"] = headers["transId"] = transaction
    return JSONResponse({"response": response}, problem.status, headers | _waiting(retry_after))


def _waiting(retry_after: int | None) -> dict[str, str]:
    return {} if retry_after is None else {"Retry-After": str(retry_after)}


class UpsRoute(FaultyRoute):
    @staticmethod
    def broken(status: int, retry_after: int | None) -> Response:
        return answer(None, Problem(status, str(status), _WORDS.get(status, _FAILED)), retry_after)


class TokenRoute(FaultyRoute):
    @staticmethod
    def broken(status: int, retry_after: int | None) -> Response:
        return answer(None, NoToken(status, f"10{status}", _WORDS_FOR_TOKENS.get(status, _FAILED)), retry_after)


tokens = APIRouter(route_class=TokenRoute)


@tokens.post("/security/v1/oauth/token", name=Operation.OAUTH_TOKEN)
async def issue_token(
    request: Request, network: Carrier, grant_type: Annotated[Literal["client_credentials"], Form()]
) -> dict[str, str]:
    """OAuth 2 client credentials; UPS writes every number as a text."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        credentials = base64.b64decode(given).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        credentials = ""
    if credentials != f"{UPS_CLIENT_ID}:{UPS_CLIENT_SECRET}":
        raise NoToken(401, "10401", _WORDS_FOR_TOKENS[401])
    return {
        "token_type": "Bearer",
        "issued_at": str(int(network.now().timestamp() * 1000)),
        "client_id": UPS_CLIENT_ID,
        "access_token": network.issue_token(TOKEN_LIFETIME),
        "expires_in": str(int(TOKEN_LIFETIME.total_seconds())),
        "scope": "",
        "refresh_count": "0",
        "status": "approved",
    }


async def _authorised(request: Request, network: Carrier) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not network.knows_token(token):
        raise Problem(401, "401", _WORDS[401])


async def _headers(
    request: Request,
    response: Response,
    *,
    transaction: Annotated[str, Header(alias="transId", pattern=r"^[a-zA-Z0-9-.]{3,14}$")],
    platform: Annotated[Literal["XOLT"], Header(alias="platformType")],
    inquiry: Annotated[Literal["U"], Header(alias="inquiryType")],
    locale: Annotated[str | None, Query(alias="loc", max_length=5, pattern="^[a-z]+[_]+[A-Z]+$")] = None,
) -> str:
    """The headers that every call must carry, the content type among them even where there is no content."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Problem(400, "710", "Failure due to input validation error")
    response.headers["transId"] = transaction
    response.headers["BkndTransId"] = uuid4().hex[:12]
    response.headers["transactionSrc"] = platform
    return transaction


Transaction = Annotated[str, Depends(_headers)]
router = APIRouter(route_class=UpsRoute, dependencies=[Depends(_authorised)])


def _ours(network: Network, tracking_number: str) -> Parcel:
    parcel = network.find(tracking_number)
    if parcel is None:
        raise Problem(400, _NOT_OURS, "The package is not one of this shipper")
    return parcel


def _outcome(transaction: str, declined: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "transactionId": transaction,
        "statusCode": "000",
        "statusMsg": "Success",
        "success": declined is None,
        "errors": None if declined is None else [declined],
        "subStatusCode": "",
    }


@router.get("/eligibility/intercept/{tracking_number}", name=Operation.INTERCEPT_ELIGIBILITY)
async def eligibility(transaction: Transaction, tracking_number: TrackingNumber, network: Carrier) -> dict[str, Any]:
    """The map is a list: the schema says object, but the document's own example and the name say list."""
    parcel = _ours(network, tracking_number)
    return _eligible(
        transaction,
        create="ELIGIBLE" if network.may_intercept(parcel) else "NOT_ELIGIBLE",
        cancel="ELIGIBLE" if parcel.intercept is InterceptState.STANDS else "NOT_ELIGIBLE",
    )


def _eligible(transaction: str, *, create: str, cancel: str) -> dict[str, Any]:
    others = {"createEligibility": create, "modifyEligibility": "NOT_ELIGIBLE", "cancelEligibility": "NOT_ELIGIBLE"}
    features: list[dict[str, Any]] = [
        {"interceptFeature": feature, "eligibilityValue": others} for feature in ("FD", "WC", "SDWC", "RD")
    ]
    rts = {
        **others,
        "cancelEligibility": cancel,
        "reasonOptionsForRTS": [{"id": "AM", "value": "Cancelled Order"}, {"id": "AN", "value": "Duplicate Order"}],
    }
    return {
        "response": {
            "transactionId": transaction,
            "statusCode": "000",
            "statusMsg": "SUCCESS",
            "success": True,
            "errors": None,
            "warnings": None,
            "commonEligibilityMap": [*features, {"interceptFeature": "RTS", "eligibilityValue": rts}],
        }
    }


@router.post("/return/{tracking_number}", name=Operation.INTERCEPT_RETURN)
async def return_to_sender(
    body: InterceptRequest, transaction: Transaction, tracking_number: TrackingNumber, network: Carrier
) -> dict[str, Any]:
    if body.requestType not in {None, "RS"} or body.reasonForReturn is None:
        raise Problem(400, "710", "Failure due to input validation error")
    parcel = _ours(network, tracking_number)
    try:
        network.intercept(parcel, transaction)
    except Declined as declined:
        return _outcome(transaction, {"errorCode": _DECLINED, "errorMessage": str(declined)})
    return _outcome(transaction)


@router.post("/cancel/{tracking_number}", name=Operation.INTERCEPT_CANCEL)
async def cancel(
    body: InterceptRequest, transaction: Transaction, tracking_number: TrackingNumber, network: Carrier
) -> dict[str, Any]:
    parcel = _ours(network, tracking_number)
    try:
        network.cancel_intercept(parcel, transaction)
    except Declined as declined:
        return _outcome(transaction, {"errorCode": _NOT_CANCELLED, "errorMessage": str(declined)})
    return _outcome(transaction)


# UPS's test environment

FIXED = {
    "eligibility/intercept": ("SUPER14", "1Z6568YY1200043419"),
    "return": ("SIIReturn", "1Z4096YY0316914058"),
    "cancel": ("SIICancel", "1Z4096YY0316914058"),
}
"""The transaction id and the tracking number that each call has there, by the document's chapter on the CIE."""

test_environment = APIRouter(prefix="/cie", dependencies=[Depends(_authorised)])


def _check_fixed(call: str, transaction: str, tracking_number: str) -> None:
    if (transaction, tracking_number) != FIXED[call]:
        raise Problem(400, "710", "Failure due to input validation error")


@test_environment.get("/eligibility/intercept/{tracking_number}")
async def fixed_eligibility(transaction: Transaction, tracking_number: TrackingNumber) -> dict[str, Any]:
    _check_fixed("eligibility/intercept", transaction, tracking_number)
    return _eligible(transaction, create="ELIGIBLE", cancel="NOT_ELIGIBLE")


@test_environment.post("/return/{tracking_number}")
async def fixed_return(
    _: InterceptRequest, transaction: Transaction, tracking_number: TrackingNumber
) -> dict[str, Any]:
    _check_fixed("return", transaction, tracking_number)
    return _outcome(transaction)


@test_environment.post("/cancel/{tracking_number}")
async def fixed_cancel(
    _: InterceptRequest, transaction: Transaction, tracking_number: TrackingNumber
) -> dict[str, Any]:
    _check_fixed("cancel", transaction, tracking_number)
    return _outcome(transaction)


def install(app: FastAPI) -> None:
    app.include_router(tokens)
    app.include_router(test_environment)
    app.include_router(router)

    @app.exception_handler(Problem)
    async def refuse(request: Request, problem: Problem) -> Response:
        return answer(request, problem)


def invalid(request: Request) -> Response:
    """What UPS says to anything that does not fit its document."""
    return answer(request, Problem(400, "710", "Failure due to input validation error"))
