"""Who calls: a key says who acts."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.request import Actor, ActorKind
from runtime.api_settings import ApiKey, Role, find_key
from web.parts import Services
from web.problems import Code, HttpProblem

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="The caller's key; it says who acts.")


async def _caller(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)], parts: Services
) -> ApiKey:
    key = find_key(parts.settings.api_keys, given.credentials) if given else None
    if key is None:
        raise HttpProblem(
            Code.KEY_MISSING,
            "Send a valid key in the header Authorization: Bearer KEY.",
            {"WWW-Authenticate": "Bearer"},
        )
    request.state.caller = key.id
    return key


Caller = Annotated[ApiKey, Depends(_caller)]

_PEOPLE = {
    Role.CUSTOMER_SERVICE: ActorKind.CUSTOMER_SERVICE,
    Role.REFUND_DEPARTMENT: ActorKind.REFUND_DEPARTMENT,
}


async def _person(caller: Caller) -> Actor:
    kind = _PEOPLE.get(caller.role)
    if kind is None:
        raise HttpProblem(
            Code.NOT_PERMITTED, "That is for a person to decide; use the key of one who may, not that of a service."
        )
    return Actor(kind=kind, id=caller.id)


Person = Annotated[Actor, Depends(_person)]


def actor_of(caller: ApiKey, customer_id: str | None) -> Actor:
    """A service speaks for the customer that it names; for itself when it names none."""
    if caller.role is not Role.SERVICE:
        return Actor(kind=_PEOPLE[caller.role], id=caller.id)
    if customer_id is not None:
        return Actor(kind=ActorKind.CUSTOMER, id=customer_id)
    return Actor(kind=ActorKind.SYSTEM, id=caller.id)
