"""One of Vendure's two GraphQL APIs, as somebody who is logged in, or as a new visitor of the shop."""

from types import TracebackType
from typing import Self, TypeVar

import httpx2
from pydantic import Field, JsonValue, TypeAdapter

from domain.base import Value

T = TypeVar("T")

REFUSAL = "__typename ... on ErrorResult { errorCode message }"
"""The part of a document that asks why Vendure refuses."""

_TOKEN = "vendure-auth-token"  # noqa: S105  # the name of a header


class ShopRefused(RuntimeError):
    """Vendure has refused a request, with this message."""


class AnyAnswer(Value):
    """An answer that nobody reads."""


class Created(Value):
    id: str


class _Error(Value):
    message: str


class _ErrorResult(Value):
    code: str = Field(default="", alias="errorCode")
    message: str = ""
    why: str = Field(default="", alias="transitionError")


class _Answer(Value):
    data: dict[str, JsonValue] | None = None
    errors: tuple[_Error, ...] = ()


class GraphqlClient:
    def __init__(self, url: str, currency: str | None = None) -> None:
        """Amounts are in the channel's currency, or in this one."""
        self._http = httpx2.AsyncClient(timeout=30)
        self._url = f"{url}?currencyCode={currency}" if currency else url
        self._token: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def log_in(self, username: str, password: str) -> None:
        await self.send(
            AnyAnswer,
            "mutation ($username: String!, $password: String!) { answer: login(username: $username, password: $password) "
            f"{{ {REFUSAL} }} }}",
            username=username,
            password=password,
        )

    async def send(self, kind: type[T], document: str, **variables: JsonValue) -> T:
        """The document asks for one field, by the name `answer`. Raises ShopRefused."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        answer = await self._http.post(self._url, json={"query": document, "variables": variables}, headers=headers)
        self._token = answer.headers.get(_TOKEN, self._token)
        read = _Answer.model_validate_json(answer.content)
        if read.errors or read.data is None:
            raise ShopRefused(" ".join(error.message for error in read.errors))
        found = read.data["answer"]
        if isinstance(found, dict) and "errorCode" in found:
            refused = _ErrorResult.model_validate(found)
            raise ShopRefused(f"{refused.message} {refused.why}".strip() or refused.code)
        return TypeAdapter(kind).validate_python(found)
