"""Stripe's `expand`: which objects an answer shows whole, instead of their ids or not at all.

By Stripe's specification, and of what may be expanded there only what the stand-in keeps: it refuses more than Stripe does,
never less. A refusal comes before the operation begins.
"""

from dataclasses import dataclass, field
from typing import Any

from sandbox.gateway.errors import ApiError

_DEEPEST = 4

_EXPANDABLE: dict[str, dict[str, str]] = {
    "payment_intent": {"latest_charge": "charge"},
    "charge": {"payment_intent": "payment_intent", "refunds": "refund list"},
    "refund": {"charge": "charge", "payment_intent": "payment_intent"},
}
"""By kind of object: the fields that can be expanded, and the kind of what is there. A list has `data`, and nothing else."""


@dataclass(frozen=True)
class Expanded:
    """The fields of an object that are shown whole, and what is shown whole within them."""

    fields: dict[str, "Expanded"] = field(default_factory=dict)

    def get(self, name: str) -> "Expanded | None":
        return self.fields.get(name)

    @property
    def of_each(self) -> "Expanded":
        """Within each object of a list."""
        return self.fields.get("data", NOTHING)


NOTHING = Expanded()


def read_expansion(operation: str, given: Any) -> Expanded:
    """What a call asks for, such as `payment_intent.latest_charge`. Raises ApiError where that cannot be expanded."""
    if not isinstance(given, dict):
        raise ApiError(400, "Invalid array", param="expand", stored=False)
    kind, _, verb = operation.partition(".")
    shown = Expanded()
    for path in given.values():
        _add(shown, f"{kind} list" if verb == "list" else kind, str(path).split("."))
    return shown


def _add(shown: Expanded, kind: str, path: list[str]) -> None:
    if len(path) > _DEEPEST:
        raise ApiError(400, f"You cannot expand more than {_DEEPEST} levels of a property.", stored=False)
    listed = kind.endswith(" list")
    for depth, name in enumerate(path, start=1):
        element = kind.removesuffix(" list")
        fields = {"data": element} if kind != element else _EXPANDABLE.get(kind, {})
        if name not in fields or (name == "data" and depth == len(path)):
            named = ".".join(path[:depth])
            hint = f" You may want to try expanding 'data.{named}' instead." if listed and path[0] != "data" else ""
            raise ApiError(400, f"This property cannot be expanded ({named}).{hint}", stored=False)
        shown, kind = shown.fields.setdefault(name, Expanded()), fields[name]
