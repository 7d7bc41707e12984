"""Stripe's errors, as they go over the wire."""

from typing import Any

Json = dict[str, Any]
"""A JSON object as it goes over the wire."""


class ApiError(Exception):
    """An answer other than 200. `stored` is False when the operation never began: such answers are not kept under the
    idempotency key."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        stored: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        details = {"type": kind, "code": code, "message": message, "param": param, "decline_code": decline_code}
        self.body: Json = {"error": {name: value for name, value in details.items() if value is not None}}
