"""What every message and value of the domain shares."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value; also the base of every message that crosses a process boundary.

    Unknown fields are ignored, so that an older worker reads what a newer client sends. Inputs stay out of validation
    errors: they end up in failure texts, which are readable by more people than the order is.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
