"""The parameters of an address: those that it does not know are refused."""

from typing import Annotated

from fastapi import Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from domain.request import BusinessId

OrderId = Annotated[BusinessId, Path(description="The order's number.", examples=["O-1001"])]


def _names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*map(_names, dependant.dependencies))


async def refuse_unknown_parameters(request: Request) -> None:
    """A misspelt filter must not list everything. Raises RequestValidationError."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    unknown = sorted(set(request.query_params) - _names(route.dependant))
    if unknown:
        raise RequestValidationError(
            [
                {"type": "extra_forbidden", "loc": ("query", name), "msg": "there is no such parameter"}
                for name in unknown
            ]
        )
