"""Who calls: a key says who acts, and what they may ask for."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.request import Actor, ActorKind, ReasonCode
from runtime.api_keys import ApiKey, Role, find_key
from web.parts import SharedParts
from web.problems import Code, HttpProblem

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="The caller's key; it says who acts.")
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


async def _caller(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)], parts: SharedParts
) -> ApiKey:
    key = find_key(parts.keys.current(), given.credentials) if given else None
    if key is None:
        raise HttpProblem(
            Code.KEY_MISSING, "Send a valid key in the header Authorization: Bearer KEY.", headers=_CHALLENGE
        )
    request.state.caller = key.id
    if key.has_expired(datetime.now(UTC)):
        raise HttpProblem(
            Code.KEY_EXPIRED,
            f"The key of {key.id} expired at {key.expires:%Y-%m-%d %H:%M} UTC; ask for a new one.",
            headers=_CHALLENGE,
        )
    return key


Caller = Annotated[ApiKey, Depends(_caller)]


async def _person(caller: Caller) -> ApiKey:
    if caller.role is Role.SERVICE:
        raise HttpProblem(
            Code.NOT_PERMITTED, "That is for a person to decide; use the key of one who may, not that of a service."
        )
    return caller


Person = Annotated[ApiKey, Depends(_person)]


def person_of(caller: ApiKey) -> Actor:
    return Actor(kind=ActorKind(caller.role.value), id=caller.id)


# Rule: A key says as whom its holder speaks
def actor_of(caller: ApiKey, customer_id: str | None, order_id: str) -> Actor:
    """A service speaks for the customer that it names; for itself when it names none. Raises HttpProblem where its key does
    not let it."""
    if caller.role is not Role.SERVICE:
        return person_of(caller)
    if customer_id is None:
        check_names_customer(caller, customer_id, f"about order {order_id}")
        return Actor(kind=ActorKind.SYSTEM, id=caller.id)
    if ActorKind.CUSTOMER not in caller.kinds:
        raise HttpProblem(
            Code.OUTSIDE_SCOPE,
            f"This key does not speak for customers, and the request about order {order_id} names one. Leave customer_id "
            "out, or use a key that does.",
        )
    return Actor(kind=ActorKind.CUSTOMER, id=customer_id)


def check_names_customer(caller: ApiKey, customer_id: str | None, about: str) -> None:
    """A service whose key speaks for customers only sees and asks nothing without one. Raises HttpProblem."""
    if customer_id is None and caller.role is Role.SERVICE and ActorKind.SYSTEM not in caller.kinds:
        raise HttpProblem(
            Code.OUTSIDE_SCOPE,
            f"This key speaks for customers only, and the request {about} names none. Name the customer in customer_id.",
        )


# Rule: A key says which reasons its holder may give
def check_reason(caller: ApiKey, reason: ReasonCode, order_id: str) -> None:
    """Raises HttpProblem where the key does not let it be given."""
    if not caller.may_give(reason):
        raise HttpProblem(
            Code.OUTSIDE_SCOPE,
            f"This key may not give the reason {reason} for order {order_id}. Give one that GET /reasons lists, or use "
            "another key.",
        )
