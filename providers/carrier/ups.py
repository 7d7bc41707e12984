"""Intercepts at UPS: Delivery Intercept v2, return to sender."""

import asyncio
import hashlib
import time
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import httpx2
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from domain.base import Value
from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.examination import Counterpart
from providers.breaker import Breaker
from providers.carrier.port import Intercept

_TOKEN_PATH = "/security/v1/oauth/token"  # noqa: S105 - an address
_EARLY = 60.0
"""Seconds before its end at which a token is no longer used."""

_INVALID = "710"
"""The request itself was wrong: a mistake of ours, not the carrier's decision."""
_SYSTEM_ERRORS = {"500", "0006"}
"""UPS failed while it worked (0006: its tracking service did), also inside an HTTP 200. No decision either."""
_WORDS = 120


_FIXED = {
    "eligibility/intercept": ("SUPER14", "1Z6568YY1200043419"),
    "return": ("SIIReturn", "1Z4096YY0316914058"),
    "cancel": ("SIICancel", "1Z4096YY0316914058"),
}
"""The transaction id and the tracking number that UPS's test environment has for each call; it knows no others. From the
chapter on the CIE in UPS's OpenAPI document of Delivery Intercept (github.com/UPS-API/api-documentation)."""


class Eligibility(StrEnum):
    ELIGIBLE = "ELIGIBLE"
    NOT_ELIGIBLE = "NOT_ELIGIBLE"
    UNKNOWN = "UNKNOWN"


class _Contact(Value):
    name: str
    telephone: str


class _InterceptRequest(Value):
    """UPS demands `specialInstructions` to be there, as null."""

    requestType: str = "RS"  # noqa: N815 - the wire's names
    requesterContactInfo: _Contact  # noqa: N815
    reasonForReturn: str = "AM"  # noqa: N815 - cancelled order
    specialInstructions: None = None  # noqa: N815


class _Error(Value):
    """`errorCode` inside an answer with HTTP 200, `code` in any other."""

    code: Annotated[str, Field(validation_alias=AliasChoices("errorCode", "code"))] = ""
    message: Annotated[str, Field(validation_alias=AliasChoices("errorMessage", "message"))] = ""


class _Outcome(Value):
    transactionId: str = ""  # noqa: N815
    success: bool = False
    errors: tuple[_Error, ...] | None = None


class _Rights(Value):
    createEligibility: Eligibility = Eligibility.UNKNOWN  # noqa: N815
    cancelEligibility: Eligibility = Eligibility.UNKNOWN  # noqa: N815


class _Feature(Value):
    interceptFeature: str  # noqa: N815
    eligibilityValue: _Rights  # noqa: N815


def _listed(given: Any) -> Any:
    """UPS's document calls the map an object and shows a list: either will do."""
    return [given] if isinstance(given, dict) else given or []


class _Eligible(_Outcome):
    commonEligibilityMap: Annotated[tuple[_Feature, ...], BeforeValidator(_listed)] = ()  # noqa: N815


class _EligibleEnvelope(Value):
    response: _Eligible


class _Failed(Value):
    errors: tuple[_Error, ...] = ()


class _FailedEnvelope(Value):
    response: _Failed = _Failed()


class _Token(Value):
    access_token: str
    expires_in: int


Answer = TypeVar("Answer", bound=Value)


class _Declined(Exception):
    """UPS's decision against the request, with its code and words."""

    def __init__(self, error: _Error | None) -> None:
        super().__init__(f"UPS declined ({error.code}): {error.message}"[:_WORDS] if error else "UPS declined")


def transaction_for(name: str) -> str:
    """The transId of a call: 14 characters, the same at every attempt, so that UPS's support finds them all."""
    return hashlib.sha256(name.encode()).hexdigest()[:14]


_STANDS = Intercept(accepted=True, detail="An intercept stands already.")


class UpsIntercepts:
    """`Intercepts` at UPS. `base_url` ends before `/return`; without `token_url` the token comes from the same host.
    `timeout` is in seconds. `contact_name` (30 characters at most) and `contact_phone` (`+` and digits) are the
    merchant's, whom UPS asks when in doubt. In UPS's `test_environment` every parcel is the one that it knows, and what may
    be done about that one says nothing about ours: each call is made, and an intercept that stands is never seen.

    A decline only says that UPS takes no new intercept. An earlier one, whose answer was lost, may have turned the parcel
    round already: read the tracking before the parcel is taken for undeliverable to the sender.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        base_url: str,
        token_url: str | None = None,
        *,
        timeout: float = 10.0,
        contact_name: str = "Shipping department",
        contact_phone: str = "+10000000000",
        test_environment: bool = False,
    ) -> None:
        self.breaker = Breaker(Counterpart.CARRIER, "UPS")
        self._http = httpx2.AsyncClient(timeout=timeout)
        self._base_url = base_url.rstrip("/")
        self._token_url = token_url or str(httpx2.URL(base_url).copy_with(path=_TOKEN_PATH))
        self._credentials = (client_id, client_secret)
        self._body = _InterceptRequest(requesterContactInfo=_Contact(name=contact_name, telephone=contact_phone))
        self._token = ""
        self._token_ends = 0.0
        self._one_refresh = asyncio.Lock()
        self._fixed = _FIXED if test_environment else {}

    async def aclose(self) -> None:
        await self._http.aclose()

    async def active(self, tracking_number: str) -> bool:
        return (await self._rights(tracking_number)).cancelEligibility is Eligibility.ELIGIBLE

    async def request(self, tracking_number: str, *, key: str) -> Intercept:
        rights = await self._rights(tracking_number)
        if rights.cancelEligibility is Eligibility.ELIGIBLE:
            return _STANDS
        if rights.createEligibility is Eligibility.NOT_ELIGIBLE:
            return Intercept(accepted=False, detail="UPS offers no return to sender for this parcel.")
        answer = await self._post_request("return", tracking_number, key, ErrorCode.SHIPMENT_NOT_STOPPABLE)
        if not answer.accepted and await self.active(tracking_number):
            return _STANDS  # the request of an earlier attempt was still on its way when this one looked
        return answer

    async def cancel(self, tracking_number: str, *, key: str) -> Intercept:
        rights = await self._rights(tracking_number)
        if rights.cancelEligibility is not Eligibility.ELIGIBLE and rights.createEligibility is Eligibility.ELIGIBLE:
            return Intercept(accepted=True, detail="No intercept stands.")
        # Neither possible: none stands on a parcel that is out for delivery, or it has been carried out. UPS knows.
        return await self._post_request("cancel", tracking_number, key, ErrorCode.STOP_NOT_UNDOABLE)

    async def _rights(self, tracking_number: str) -> _Rights:
        """What may be done about a return to sender. A parcel that UPS will not talk about leaves everything open: the
        call that acts gets the answer."""
        what, doing = "eligibility/intercept", f"reading the intercept of parcel {tracking_number}"
        transaction, number = self._named(what, f"{tracking_number}/eligibility", tracking_number)
        try:
            content = await self._call("GET", f"/{what}/{number}", transaction, doing, ErrorCode.SHIPMENT_NOT_STOPPABLE)
            answer = _parsed(_EligibleEnvelope, content, doing, writes=False)
            _check(answer.response, doing, writes=False)
        except _Declined:
            return _Rights()
        if self._fixed:
            return _Rights()
        rights = (feature for feature in answer.response.commonEligibilityMap if feature.interceptFeature == "RTS")
        return next((feature.eligibilityValue for feature in rights), _Rights())

    async def _post_request(self, what: str, tracking_number: str, key: str, refusal: ErrorCode) -> Intercept:
        doing = f"asking for the {what} of parcel {tracking_number}"
        transaction, number = self._named(what, key, tracking_number)
        try:
            content = await self._call("POST", f"/{what}/{number}", transaction, doing, refusal)
            outcome = _parsed(_Outcome, content, doing, writes=True)
            _check(outcome, doing, writes=True)
        except _Declined as declined:
            return Intercept(accepted=False, reference=transaction, detail=str(declined))
        return Intercept(accepted=True, reference=outcome.transactionId)

    def _named(self, what: str, name: str, tracking_number: str) -> tuple[str, str]:
        """The transaction id of a call, and the parcel that it is about."""
        return self._fixed.get(what, (transaction_for(name), tracking_number))

    async def _call(self, method: str, path: str, transaction: str, doing: str, refusal: ErrorCode) -> bytes:
        """The content of an HTTP 200. Raises `_Declined`, or what the port promises."""
        writes = method == "POST"
        answer = await self._send(method, path, transaction, doing, bearer=await self._bearer())
        if answer.status_code == 401:
            # Refused at the door: nothing happened. The token was taken back early, or the clocks differ.
            answer = await self._send(method, path, transaction, doing, bearer=await self._bearer(instead=True))
        if answer.status_code == 200:
            return answer.content
        raise _failure(answer, doing, writes=writes, refusal=refusal)

    async def _send(self, method: str, path: str, transaction: str, doing: str, *, bearer: str) -> httpx2.Response:
        writes = method == "POST"
        headers = {
            "Authorization": f"Bearer {bearer}",
            "Content-Type": "application/json",
            "transId": transaction,
            "platformType": "XOLT",
            "inquiryType": "U",
        }
        content = self._body.model_dump_json() if writes else None
        try:
            with self.breaker.call() as call:
                answer = await self._http.request(method, f"{self._base_url}{path}", headers=headers, content=content)
                call.note_status(answer.status_code)
                return answer
        except httpx2.TransportError:
            if not writes:
                raise Unavailable(f"UPS cannot be reached for {doing}.") from None
            raise OutcomeUnknown(f"UPS did not answer while {doing}; it may have happened.") from None

    async def _bearer(self, *, instead: bool = False) -> str:
        """The token, fetched when there is none, when it ends soon, or `instead` of one that UPS did not take."""
        used = self._token
        async with self._one_refresh:
            if self._token_ends <= time.monotonic() or (instead and self._token == used):
                token = await self._fetch_token()
                self._token, self._token_ends = token.access_token, time.monotonic() + token.expires_in - _EARLY
            return self._token

    async def _fetch_token(self) -> _Token:
        doing = "fetching an access token"
        try:
            with self.breaker.call() as call:
                answer = await self._http.post(
                    self._token_url, data={"grant_type": "client_credentials"}, auth=self._credentials
                )
                call.note_status(answer.status_code)
        except httpx2.TransportError:
            raise Unavailable(f"UPS cannot be reached for {doing}.") from None
        if answer.status_code == 200:
            return _parsed(_Token, answer.content, doing, writes=False)
        if 400 <= answer.status_code < 500 and answer.status_code != 429:
            raise _bad_credentials(doing)
        raise Unavailable(f"UPS failed while {doing} ({answer.status_code}).", _retry_after(answer))


def _bad_credentials(doing: str) -> Refused:
    return Refused(
        ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
        f"UPS rejected the client id and secret while {doing}. Check them in the settings, then retry the step.",
    )


def _failure(answer: httpx2.Response, doing: str, *, writes: bool, refusal: ErrorCode) -> StepError | _Declined:
    """What an answer other than 200 means."""
    status = answer.status_code
    if status in {401, 403}:
        return _bad_credentials(doing)
    if status == 429:
        return Unavailable(f"UPS is limiting our rate; {doing} did not happen.", _retry_after(answer))
    if 400 <= status < 500:
        try:
            errors = _FailedEnvelope.model_validate_json(answer.content).response.errors
        except ValidationError:
            errors = ()
        codes = {error.code for error in errors}
        if status == 400 and codes and not codes & {_INVALID, *_SYSTEM_ERRORS}:
            return _Declined(errors[0])
        if not codes & _SYSTEM_ERRORS:
            code = ", ".join(sorted(codes)) or str(status)
            return Refused(
                refusal,
                f"UPS did not understand the request while {doing} ({code}). Check the tracking number in the order and "
                "the shipper's name and phone in the settings.",
            )
    return _broken(doing, writes, _retry_after(answer))


def _check(outcome: _Outcome, doing: str, *, writes: bool) -> None:
    """UPS says no, and says that it failed, with HTTP 200 too."""
    if outcome.success:
        return
    errors = outcome.errors or ()
    if any(error.code in _SYSTEM_ERRORS for error in errors):
        raise _broken(doing, writes, None)
    raise _Declined(errors[0] if errors else None)


def _broken(doing: str, writes: bool, retry_after: float | None) -> StepError:
    if writes:
        return OutcomeUnknown(f"UPS failed while {doing}; it may have happened.", retry_after)
    return Unavailable(f"UPS failed while {doing}.", retry_after)


def _parsed(model: type[Answer], content: bytes, doing: str, *, writes: bool) -> Answer:
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise _broken(doing, writes, None) from None


def _retry_after(answer: httpx2.Response) -> float | None:
    """Only the form in seconds is used."""
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else None
