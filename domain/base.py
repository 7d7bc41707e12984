"""What every message and value of the domain shares."""

import re
from collections.abc import Callable, Sequence
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
    "string_too_short": "it is empty",
    "model_type": "a JSON object is needed",
    "model_attributes_type": "a JSON object is needed",
}
_FORMS: Sequence[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = tuple(
    (re.compile(form), plain)
    for form, plain in (
        (r"Value error, ", ""),
        (r"Extra inputs are not permitted", "there is no such field; it may be misspelt"),
        (r"Invalid JSON: .*? at (line \d+ column \d+)", r"it is no JSON (\1)"),
        (r"JSON decode error", "it is no JSON"),
        (r"\w+ should have at least (\d+) items? after validation, not \d+", r"name at least \1"),
        (r"\w+ should have at most (\d+) items? after validation, not [\w ]+", r"name at most \1"),
        (r"String should have at most (\d+) characters?", r"write at most \1 characters"),
        (r"String should match pattern '\^\[!-~\][+*]\$'", BAD_ID),
        (r"String should match pattern '\^\[ -~\]\*\$'", "write letters, digits and signs of ASCII"),
        (r"String should match pattern '\^\[A-Z\]\{3\}\$'", "write a currency as its three letters, such as USD"),
        (r"String should match pattern '\^\\\+\[0-9\].*'", "write a telephone number such as +15551234567"),
        (r"Input should be greater than or equal to (\S+)", r"it has to be at least \1"),
        (r"Input should be greater than (\S+)", r"it has to be more than \1"),
        (r"Input should be less than or equal to (\S+)", r"it has to be at most \1"),
        (r"Input should be less than (\S+)", r"it has to be less than \1"),
        (r"Input should be a valid integer.*", "a whole number is needed"),
        (r"Input should be (?:a valid|a finite) number.*", "a number is needed"),
        (r"Input should be a valid boolean.*", "true or false is needed"),
        (r"Input should be a valid string.*", "a text is needed"),
        (r"Input should be a valid (?:tuple|list|set|frozenset)", "a list is needed"),
        (r"Input should be a valid dictionary.*", "names with values are needed"),
        (r"Input should be a valid (?:timedelta|duration).*", "write a duration such as PT12H or P3D"),
        (r"Input should (?:be a valid datetime.*|have timezone info)", "write an instant such as 2027-01-31T18:00:00Z"),
        (r"Input should be a valid date.*|Datetimes provided to dates.*", "write a day such as 2027-01-31"),
        (r"Input should be ('.*)", lambda found: f"it has to be one of {found[1].replace(' or ', ', ')}"),
    )
)
"""The library's words for what people get wrong, and plain ones."""


def describe_validation_error(error: ValidationError) -> str:
    """What is wrong with a message or a value: each field with the reason, never the value."""
    return "; ".join(f"{place}: {why}" if place else why for place, why in problems_of(error))


def problems_of(error: ValidationError) -> list[tuple[str, str]]:
    """The field, and what is wrong with it."""
    return [
        (".".join(map(str, problem["loc"])), reason_of(problem["type"], problem["msg"])) for problem in error.errors()
    ]


# Rule: No word of a library reaches a reader
def reason_of(kind: str, message: str) -> str:
    """What the validation says of one field, in words for whoever wrote it. Where a text has a least length it is one."""
    return _IN_OTHER_WORDS.get(kind) or in_plain_words(message)


def in_plain_words(message: str) -> str:
    """The same without the library's words, wherever they are in it."""
    for form, plain in _FORMS:
        message = form.sub(plain, message)
    return message
