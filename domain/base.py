"""What every message and value of the domain shares."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

BAD_ID = "an id is 1 to 64 letters, digits and signs of ASCII, without spaces"


class Value(BaseModel):
    """An immutable value; also the base of every message that crosses a process boundary.

    Unknown fields are ignored, so that an older worker reads what a newer client sends. Inputs stay out of validation
    errors: they end up in failure texts, which are readable by more people than the order is.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


T = TypeVar("T")
Rare = Annotated[T | None, Field(exclude_if=lambda value: value is None)]
"""What few values have: the others do not carry it through the history."""


_IN_OTHER_WORDS = {
    "missing": "it is missing",
    "string_pattern_mismatch": BAD_ID,
    "string_too_short": "it is empty",
    "model_type": "a JSON object is needed",
    "model_attributes_type": "a JSON object is needed",
}


def describe_validation_error(error: ValidationError) -> str:
    """What is wrong with a message or a value: each field with the reason, never the value."""
    return "; ".join(f"{place}: {why}" if place else why for place, why in problems_of(error))


def problems_of(error: ValidationError) -> list[tuple[str, str]]:
    """The field, and what is wrong with it."""
    return [
        (".".join(map(str, problem["loc"])), reason_of(problem["type"], problem["msg"])) for problem in error.errors()
    ]


def reason_of(kind: str, message: str) -> str:
    """What the validation says of one field, in words for whoever wrote it. Where a text has a least length it is one."""
    return _IN_OTHER_WORDS.get(kind) or message.removeprefix("Value error, ")
