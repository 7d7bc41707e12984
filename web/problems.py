"""Problems: every answer that is not a success is `application/problem+json` (RFC 9457) with one of these types."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route

from client.errors import AboveLimit, ExitCode, RunPaused, StarterError, UnderWay
from domain.base import reason_of
from domain.errors import Unavailable
from domain.permissions import may_see
from domain.request import Actor, ActorKind, BusinessId
from providers.cancellations.port import Register

RETRY_AFTER = 5
"""Seconds after which a caller may ask again when something is not there at the moment."""


class Code(StrEnum):
    """The end of a problem's `type`. It never changes its meaning; the sentences may."""

    INVALID_REQUEST = "invalid_request"
    IDEMPOTENCY_KEY_MISSING = "idempotency_key_missing"
    KEY_MISSING = "key_missing"
    KEY_EXPIRED = "key_expired"
    NOT_PERMITTED = "not_permitted"
    OUTSIDE_SCOPE = "outside_scope"
    NO_SUCH_ADDRESS = "no_such_address"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ORDER_NOT_FOUND = "order_not_found"
    NO_CANCELLATION = "no_cancellation"
    REQUEST_CONFLICT = "request_conflict"
    UNDER_WAY = "under_way"
    NOT_ALLOWED_NOW = "not_allowed_now"
    ROLLED_BACK = "rolled_back"
    BODY_TOO_LARGE = "body_too_large"
    SIGNATURE_INVALID = "signature_invalid"
    NOT_AN_EVENT = "not_an_event"
    UNAVAILABLE = "unavailable"
    NOT_ANSWERED = "not_answered"
    INTERNAL_ERROR = "internal_error"


_PROBLEMS: dict[Code, tuple[int, str]] = {
    Code.INVALID_REQUEST: (422, "The request is not valid"),
    Code.IDEMPOTENCY_KEY_MISSING: (400, "An Idempotency-Key is needed"),
    Code.KEY_MISSING: (401, "A valid key is needed"),
    Code.KEY_EXPIRED: (401, "The key has expired"),
    Code.NOT_PERMITTED: (403, "This key does not permit that"),
    Code.OUTSIDE_SCOPE: (403, "That is outside what this key may ask for"),
    Code.NO_SUCH_ADDRESS: (404, "No such endpoint"),
    Code.METHOD_NOT_ALLOWED: (405, "The method is not allowed here"),
    Code.ORDER_NOT_FOUND: (404, "The order was not found"),
    Code.NO_CANCELLATION: (404, "The order has no cancellation"),
    Code.REQUEST_CONFLICT: (422, "The key was used for another request"),
    Code.UNDER_WAY: (409, "Another cancellation of the order is under way"),
    Code.NOT_ALLOWED_NOW: (409, "The cancellation does not allow that now"),
    Code.ROLLED_BACK: (409, "The cancellation was rolled back"),
    Code.BODY_TOO_LARGE: (413, "The body is too large"),
    Code.SIGNATURE_INVALID: (400, "The signature is not valid"),
    Code.NOT_AN_EVENT: (400, "The body is not an event"),
    Code.UNAVAILABLE: (503, "Not available at the moment"),
    Code.NOT_ANSWERED: (504, "Not answered in time"),
    Code.INTERNAL_ERROR: (500, "Internal error"),
}
_REFUSED_KEYS = frozenset({Code.KEY_MISSING, Code.KEY_EXPIRED, Code.NOT_PERMITTED, Code.OUTSIDE_SCOPE})
"""Refused for want of a key, or of one that may do that."""
_ID = TypeAdapter(BusinessId)
_BY_STATUS = {404: Code.NO_SUCH_ADDRESS, 405: Code.METHOD_NOT_ALLOWED}


COMMON = (
    Code.INVALID_REQUEST,
    Code.KEY_MISSING,
    Code.KEY_EXPIRED,
    Code.BODY_TOO_LARGE,
    Code.UNAVAILABLE,
    Code.INTERNAL_ERROR,
)
"""What every endpoint that takes a key may answer."""


class FieldError(BaseModel):
    """One thing that is wrong with a request, and where."""

    at: str
    problem: str


class Problem(BaseModel):
    """An error of RFC 9457. Programs look at `type`, people read `detail`."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class HttpProblem(HTTPException):
    """An answer that is a problem."""

    def __init__(self, code: Code, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(_PROBLEMS[code][0], sentence, headers)
        self.code = code


def _problem(
    code: Code, sentence: str, headers: dict[str, str] | None = None, errors: Sequence[FieldError] = ()
) -> Response:
    status, title = _PROBLEMS[code]
    problem = Problem(
        type=f"urn:order-cancellation:{code}", title=title, status=status, detail=sentence, errors=list(errors)
    )
    return JSONResponse(problem.model_dump(), status, headers, media_type="application/problem+json")


def _unavailable(sentence: str) -> Response:
    return _problem(Code.UNAVAILABLE, sentence, {"Retry-After": str(RETRY_AFTER)})


def _valid_id(given: str) -> str | None:
    try:
        return _ID.validate_python(given)
    except ValidationError:
        return None


# Rule: A call that its key does not allow is recorded
def _record_refusal(request: Request, code: Code) -> None:
    """Who tries what they may not is seen: never the key, and of the address only what is ours and, from somebody we know, a
    valid order id. What a stranger writes into the address may be anything, an email address too."""
    known = hasattr(request.state, "caller")
    structlog.get_logger().warning(
        "request_refused",
        caller=getattr(request.state, "caller", "unknown"),
        method=request.method,
        route=request.scope["route"].path,
        order_id=_valid_id(request.path_params.get("order_id", "")) if known else None,
        code=code,
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    if isinstance(error, HttpProblem):
        if error.code in _REFUSED_KEYS:
            _record_refusal(request, error.code)
        return _problem(error.code, error.detail, headers)
    code = _BY_STATUS.get(error.status_code, Code.INVALID_REQUEST)
    sentences = {
        Code.NO_SUCH_ADDRESS: "Nothing is at this address; /docs lists what there is.",
        Code.METHOD_NOT_ALLOWED: "This address does not take the method; the header Allow says what it takes.",
        Code.INVALID_REQUEST: "The body could not be read; send JSON in UTF-8.",
    }
    return _problem(code, sentences[code], headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """Field and reason, never the value."""
    assert isinstance(error, RequestValidationError)
    wrong = []
    for found in error.errors():
        problem = reason_of(found["type"], str(found["msg"]))
        wrong.append(FieldError(at=".".join(map(str, found["loc"])), problem=problem))
    sentence = "; ".join(f"{field.at}: {field.problem}" for field in wrong)
    return _problem(Code.INVALID_REQUEST, f"The request is not valid: {sentence}.", errors=wrong)


async def _failed(_: Request, __: Exception) -> Response:
    return _problem(Code.INTERNAL_ERROR, "The error has been logged. It is safe to send the request again.")


async def _database_away(_: Request, error: Exception) -> Response:
    structlog.get_logger().warning("database_unavailable")
    return _unavailable("Our database does not answer at the moment; send the same again.")


async def _library_problem(request: Request, error: Exception) -> Response:
    """The library speaks to people at a command line and names addresses: a caller gets our sentence, the log has its."""
    assert isinstance(error, StarterError)
    order_id = request.path_params.get("order_id", "")
    if error.code is ExitCode.NOT_FOUND:
        return _problem(
            Code.NO_CANCELLATION,
            f"Order {order_id} has no cancellation; ask for one with POST {location_of(order_id)}.",
        )
    if isinstance(error, UnderWay):
        return _problem(Code.UNDER_WAY, error.sentence)
    if isinstance(error, AboveLimit):
        _record_refusal(request, Code.OUTSIDE_SCOPE)
        return _problem(Code.OUTSIDE_SCOPE, error.sentence)
    if isinstance(error, RunPaused):  # who did it, and the command that ends it, are for operations
        structlog.get_logger().warning("cancellation_paused", error=error.sentence)
        return _unavailable(
            f"The cancellation of order {order_id} is paused and takes nothing at the moment. What was sent was not kept; "
            "send the same again later."
        )
    if error.code is ExitCode.REFUSED:
        return _problem(Code.NOT_ALLOWED_NOW, error.sentence)
    if error.code is ExitCode.NOT_CANCELLED:
        return _problem(Code.ROLLED_BACK, error.sentence)
    structlog.get_logger().warning("temporal_unavailable", error=error.sentence)
    if error.code is ExitCode.UNDECIDED:
        return _problem(
            Code.NOT_ANSWERED,
            f"The cancellation of order {order_id} did not answer in time and may still take the message; look at "
            f"GET {location_of(order_id)} before you send it again.",
        )
    return _unavailable("Cancellations cannot be reached at the moment; send the same again, nothing is done twice.")


@contextlib.contextmanager
def check_body() -> Iterator[None]:
    """What the domain refuses of a body is wrong input like any other."""
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError(
            [
                {**wrong, "loc": ("body", *wrong["loc"])}
                for wrong in error.errors(include_input=False, include_context=False)
            ]
        ) from None


# Rule: An unknown order and somebody else's get one and the same answer [over HTTP]
@contextlib.asynccontextmanager
async def hide_existence_from(actor: Actor, order_id: str, register: Register) -> AsyncIterator[None]:
    """A customer gets the same answer for an order that is unknown, somebody else's, or without a cancellation: otherwise
    order numbers could be tried out. Whose it is the books know also where the run was lost, or answers nobody."""
    try:
        yield
    except StarterError as error:
        if actor.kind is not ActorKind.CUSTOMER:
            raise
        if error.code is not ExitCode.NOT_FOUND and await is_of(actor, order_id, register) is not False:
            raise
        raise HttpProblem(
            Code.ORDER_NOT_FOUND,
            f"Order {order_id} was not found for this customer, or has no cancellation. Check the order number.",
        ) from None


async def is_of(customer: Actor, order_id: str, register: Register) -> bool | None:
    """Whether the order is this customer's, by our books; None: they do not know."""
    cases = (await register.of_order(order_id)).cases
    return any(may_see(case, customer) for case in cases) if cases else None


def location_of(order_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}/cancellation"


def _methods_at(request: Request, routes: Sequence[BaseRoute]) -> list[str]:
    matching = [
        route for route in routes if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    methods = {method for route in matching for method in route.methods or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def responses_of(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """The problems of an endpoint, for its description. api.py puts them under their own media type."""
    described: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, title = _PROBLEMS[code]
        response = described.setdefault(
            status, {"model": Problem, "description": "", "content": {"application/json": {}}}
        )
        response["description"] = " ".join(filter(None, (response["description"], f"`{code}`: {title}.")))
        response["content"]["application/json"].setdefault("examples", {})[code.value] = {
            "value": {
                "type": f"urn:order-cancellation:{code}",
                "title": title,
                "status": status,
                "detail": "A sentence that says what to do next.",
                "errors": [],
            }
        }
        if status == 503:
            response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return described


def add_problems(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Every exception that leaves an endpoint is answered with its problem. `routes` are all that there are."""

    async def refused(request: Request, error: Exception) -> Response:
        """The framework names the methods of one endpoint where the address has several."""
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            error.headers = {"Allow": ", ".join(_methods_at(request, routes))}
        return await _refused(request, error)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarterError, _library_problem)
    app.add_exception_handler(Unavailable, _database_away)
    app.add_exception_handler(Exception, _failed)
