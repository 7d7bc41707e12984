"""Vendure's Admin API over HTTP: the login and its renewal, the channel, and what each answer means.

GraphQL answers nearly everything with HTTP 200. What an error is, its code says (`FORBIDDEN`, `ENTITY_NOT_FOUND`). Any code
that is not listed here is a failure inside Vendure.
"""

import asyncio
from collections.abc import Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from domain.base import Value
from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.examination import Counterpart
from providers.breaker import Breaker

_TIMEOUT = 10.0
"""Seconds. An attempt has 30 for all of its calls."""
_CALLS_AT_ONCE = 4
"""Vendure works on them at the same time, so that each takes longer. The others wait here, where their timeout has not
begun."""
_KEEPALIVE_SECONDS = 2.0
"""How long an idle connection is used again. Node closes it after 5 seconds, and a call sent at that moment is lost."""
_TOKEN_HEADER = "vendure-auth-token"  # noqa: S105 (the name of a header)
_CHANNEL_HEADER = "vendure-token"
_MESSAGE_LENGTH = 200

_LOGIN = """
mutation ($username: String!, $password: String!) {
  login(username: $username, password: $password) { __typename }
}
"""
_FORBIDDEN = {"FORBIDDEN", "UNAUTHORIZED"}
_REFUSALS = {"BAD_USER_INPUT", "ENTITY_NOT_FOUND", "ILLEGAL_OPERATION", "USER_INPUT_ERROR"}
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Answer(Value):
    """What Vendure answers, in its own names."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)


class _Extensions(Value):
    code: str = ""


class _Error(Value):
    message: str = ""
    extensions: _Extensions = _Extensions()


class _Envelope(Value):
    data: JsonValue = None
    errors: tuple[_Error, ...] = ()


class _TypeName(BaseModel):
    model_config = ConfigDict(alias_generator=lambda _: "__typename")

    name: str


class _Login(Answer):
    login: _TypeName


_Data = TypeVar("_Data", bound=Answer)


class VendureRefusal(Exception):
    """Vendure has refused a call, in these words. Nothing has happened."""

    def __init__(self, message: str) -> None:
        super().__init__(message[:_MESSAGE_LENGTH])


class UnknownToSchema(Exception):
    """The API has no such query, mutation or field. Nothing has happened."""


class _Forbidden(Exception):
    """Nobody is logged in, or the user may not do this. Nothing has happened."""


class VendureApi:
    """`url` is that of the Admin API (`https://…/admin-api`), `channel` the token of a channel; None: the default one."""

    def __init__(self, url: str, username: str, password: str, channel: str | None = None) -> None:
        self.url = url
        self.breaker = Breaker(Counterpart.ORDERS, "Vendure")
        # Otherwise the session's cookie would still count once the token has ended.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx2.AsyncClient(
            timeout=_TIMEOUT,
            limits=httpx2.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
            cookies=no_cookies,
            headers={_CHANNEL_HEADER: channel} if channel else {},
        )
        self._credentials: Mapping[str, JsonValue] = {"username": username, "password": password}
        self._token = ""
        self._login_lock = asyncio.Lock()
        self._calls = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def read(self, document: str, model: type[_Data], doing: str, **variables: JsonValue) -> _Data:
        """Raises Unavailable, `VendureRefusal` and `UnknownToSchema`. Refused: PROVIDER_REJECTED_CREDENTIALS,
        PROVIDER_REJECTED_SETTINGS."""
        return await self._send(document, model, variables, _Request(doing, writes=False))

    async def write(
        self, document: str, model: type[_Data], doing: str, *, cancellation_id: str, **variables: JsonValue
    ) -> _Data:
        """The same for a call that changes something. `cancellation_id`: the cancellation that makes it; while an order is
        frozen, the plugin lets only its own change it. Raises OutcomeUnknown too."""
        request = _Request(doing, writes=True, cancellation_id=cancellation_id)
        return await self._send(document, model, variables, request)

    async def _send(
        self, document: str, model: type[_Data], variables: Mapping[str, JsonValue], request: "_Request"
    ) -> _Data:
        used = await self._current_token()
        try:
            return await self._send_with_token(document, model, variables, request, used)
        except _Forbidden:
            pass  # the login has ended
        try:
            return await self._send_with_token(document, model, variables, request, await self._current_token(used))
        except _Forbidden:
            raise Refused(
                ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
                f"Vendure does not let the user of VENDURE_USERNAME do this: {request.doing}. Give its role the permissions "
                "ReadOrder and UpdateOrder in the channel, then retry the step.",
            ) from None

    async def _current_token(self, ended: str = "") -> str:
        """The token of the login. A new one where there is none yet, or where the current one has `ended`."""
        async with self._login_lock:
            if self._token == ended:
                self._token = await self._log_in()
            return self._token

    async def _log_in(self) -> str:
        request = _Request("logging in to Vendure", writes=False)
        answer = await self._post(_LOGIN, self._credentials, request, {})
        try:
            logged_in = request.read_data(answer, _Login).login.name == "CurrentUser"
        except _Forbidden:
            logged_in = False
        if not logged_in:
            raise Refused(
                ErrorCode.PROVIDER_REJECTED_CREDENTIALS,
                "Vendure refuses the login of VENDURE_USERNAME with VENDURE_PASSWORD. Check them in the settings, and that "
                "VENDURE_URL is the address of the Admin API and not of the Shop API, then retry the step.",
            )
        token = answer.headers.get(_TOKEN_HEADER)
        if not token:
            raise Refused(
                ErrorCode.PROVIDER_REJECTED_SETTINGS,
                "Vendure returns no token for a login. Add 'bearer' to authOptions.tokenMethod in its configuration, then "
                "retry the step.",
            )
        return str(token)

    async def _send_with_token(
        self, document: str, model: type[_Data], variables: Mapping[str, JsonValue], request: "_Request", token: str
    ) -> _Data:
        headers = {"Authorization": f"Bearer {token}"}
        if request.cancellation_id:
            headers["cancellation-id"] = request.cancellation_id
        return request.read_data(await self._post(document, variables, request, headers), model)

    async def _post(
        self, document: str, variables: Mapping[str, JsonValue], request: "_Request", headers: Mapping[str, str]
    ) -> httpx2.Response:
        body: Mapping[str, JsonValue] = {"query": document, "variables": dict(variables)}
        try:
            async with self._calls:
                with self.breaker.call() as call:
                    answer = await self._http.post(self.url, json=body, headers=headers)
                    call.note_status(answer.status_code)
                    return answer
        except _NOT_SENT:
            raise Unavailable(f"Vendure cannot be reached for {request.doing}.") from None
        except httpx2.TransportError:
            raise request.to_error(f"Vendure did not answer while {request.doing}") from None


class _Request:
    """What a call is for, and what its answer means."""

    def __init__(self, doing: str, *, writes: bool, cancellation_id: str | None = None) -> None:
        self.doing = doing
        self.cancellation_id = cancellation_id
        self._writes = writes

    def to_error(self, what: str, retry_after: float | None = None) -> StepError:
        if self._writes:
            return OutcomeUnknown(f"{what}; it may have happened.", retry_after)
        return Unavailable(f"{what}.", retry_after)

    def read_data(self, answer: httpx2.Response, model: type[_Data]) -> _Data:
        """The data of an answer without errors."""
        self._check_status(answer)
        try:
            envelope = _Envelope.model_validate_json(answer.content)
        except ValidationError:
            raise (self._invalid_answer() if self._writes else self._wrong_address(answer)) from None
        if envelope.errors:
            raise self._translate_errors(envelope.errors)
        try:
            return model.model_validate(envelope.data)
        except ValidationError:
            raise self._invalid_answer() from None

    def _invalid_answer(self) -> StepError:
        return self.to_error(f"Vendure gave an answer that cannot be read while {self.doing}")

    def _check_status(self, answer: httpx2.Response) -> None:
        status, retry_after = answer.status_code, _retry_after(answer)
        if status in {429, 503}:
            raise Unavailable(f"Vendure takes no calls at the moment, so {self.doing} did not happen.", retry_after)
        if status >= 500:
            raise self.to_error(f"Vendure failed while {self.doing} ({status})", retry_after)
        if status in {401, 403}:
            raise _Forbidden
        if status not in {200, 400}:  # 400 has errors, in GraphQL's own form
            raise self._wrong_address(answer)

    def _translate_errors(self, errors: Sequence[_Error]) -> Exception:
        code = errors[0].extensions.code
        if code in _FORBIDDEN:
            return _Forbidden()
        if code in _REFUSALS:
            return VendureRefusal(errors[0].message)
        if code == "GRAPHQL_VALIDATION_FAILED":
            return UnknownToSchema()
        if code == "CHANNEL_NOT_FOUND":
            return Refused(
                ErrorCode.PROVIDER_REJECTED_SETTINGS,
                "Vendure has no channel with the token of VENDURE_CHANNEL. Correct it in the settings, then retry the "
                "step.",
            )
        return self.to_error(f"Vendure failed while {self.doing}")

    def _wrong_address(self, answer: httpx2.Response) -> Refused:
        return Refused(
            ErrorCode.PROVIDER_REJECTED_SETTINGS,
            f"At the address in VENDURE_URL there is no Admin API of Vendure ({answer.status_code}). Correct it in the "
            "settings, then retry the step.",
        )


def _retry_after(answer: httpx2.Response) -> float | None:
    """Only the form in seconds is used."""
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else None
