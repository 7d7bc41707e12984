"""What every message and value of the domain shares."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """An immutable value; also the base of every message that crosses a process boundary.

    Unknown fields are ignored, so that an older worker reads what a newer client sends. Inputs stay out of validation
    errors: they end up in failure texts, which are readable by more people than the order is.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


T = TypeVar("T")
Rare = Annotated[T | None, Field(exclude_if=lambda value: value is None)]
"""What few values have: the others do not carry it through the history."""
