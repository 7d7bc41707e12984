"""The header Idempotency-Key, as draft-ietf-httpapi-idempotency-key-header-07 has it: a text in quotes. Without the quotes
it is the same key."""

import re
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from domain.request import BusinessId
from web.problems import Code, HttpProblem

_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_ESCAPED = re.compile(r"\\(.)")
_ID = TypeAdapter(BusinessId)

_Given = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        description="The caller's id of the request. Sent again with the same content it is the same request. In quotes or "
        "without.",
        examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
    ),
]


def _request_id(given: str) -> str:
    """The id of the request that this key names: the key itself, where an id may be like that."""
    key = given.strip()
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        if quoted is None:
            raise RequestValidationError(
                [{"type": "value_error", "loc": ("header", "Idempotency-Key"), "msg": "write it as one text in quotes"}]
            )
        key = _ESCAPED.sub(r"\1", quoted[1])
    if not key:
        raise _missing()
    try:
        return _ID.validate_python(key)
    except ValidationError:
        return f"key-{sha256(key.encode()).hexdigest()[:40]}"


def _missing() -> HttpProblem:
    return HttpProblem(
        Code.IDEMPOTENCY_KEY_MISSING,
        "Send an Idempotency-Key, and the same one when you repeat the request: then nothing is done twice.",
    )


async def _needed(given: _Given = None) -> str:
    if given is None:
        raise _missing()
    return _request_id(given)


async def _optional(given: _Given = None) -> str | None:
    return None if given is None else _request_id(given)


RequestId = Annotated[str, Depends(_needed)]
OptionalRequestId = Annotated[str | None, Depends(_optional)]
