"""The ids that are made from business ids: a cancellation's, and the one form of an idempotency key.

Nobody else builds or reads one. Whatever a shop writes into its ids, `gid://shop/Order/1` say, a key is read back as it
was built, and is short enough for every provider.
"""

import re
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from domain.request import CancellationRequest
from domain.step import StepName

_LONGEST_ORDER = 64
"""An order id that is longer once it is escaped is replaced by a digest: a key has 255 characters at a gateway."""

_MISREAD = re.compile(r"%(?=[0-9A-Fa-f]{2})|[^!-~]")
"""What a target does not keep in a key: what would be taken for an escape, and what no HTTP header can hold."""


# Rule: The id of a cancellation is made from the order and the request that opened it
def cancellation_id(order_id: str, request_id: str) -> str:
    """The id of the cancellation that a request opens: the same request always opens the same one. It has no slash."""
    order = quote(order_id, safe="")
    if len(order) > _LONGEST_ORDER:
        order = _digest(order_id)[:32]
    return f"can-{order}-{_digest(f'{order_id}/{request_id}')[:10]}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def id_of(request: CancellationRequest) -> str:
    """The id of the cancellation that this request would open."""
    return cancellation_id(request.order_id, request.request_id)


# Rule: An idempotency key has this form
class EffectKey:
    """The idempotency key of one effect: `{cancellation_id}/{step}/{target}/{n}`, with `.{part}` for each further call of
    a step to its provider. Only the target may have slashes of its own. `n` rises only after the effect's failure was
    confirmed (domain/effects.py). It is never changed."""

    __slots__ = ("cancellation_id", "n", "part", "step", "target")

    def __init__(self, cancellation_id: str, step: StepName, target: str, n: int = 1, part: str = "") -> None:
        if "/" in cancellation_id:
            raise ValueError(f"{cancellation_id!r} is no id of a cancellation")
        self.cancellation_id = cancellation_id
        self.step = step
        self.target = target
        self.n = n
        self.part = part

    @classmethod
    def parse(cls, text: str) -> "EffectKey":
        """Raises ValueError when it is no key of ours."""
        cancellation, step, rest = text.split("/", 2)
        target, number = rest.rsplit("/", 1)
        n, _, part = number.partition(".")
        key = cls(cancellation, StepName(step), unquote(target), int(n), part)
        if str(key) != text or key.n < 1:
            raise ValueError(f"{text!r} is not written as a key of ours")
        return key

    @classmethod
    def read(cls, text: str | None) -> "EffectKey | None":
        """The key in a provider's record; None when somebody else wrote it."""
        try:
            return cls.parse(text or "")
        except ValueError:
            return None

    @property
    def next(self) -> "EffectKey":
        """The key of the next effect, after the failure of this one was confirmed."""
        return EffectKey(self.cancellation_id, self.step, self.target, self.n + 1)

    def part_of(self, part: str) -> "EffectKey":
        """The key of a further call of the same step."""
        return EffectKey(self.cancellation_id, self.step, self.target, self.n, part)

    def is_same_step(self, other: "EffectKey") -> bool:
        """Whether the other is an effect of the same step for the same target, whatever its number."""
        mine = (self.cancellation_id, self.step, self.target)
        return mine == (other.cancellation_id, other.step, other.target)

    def __str__(self) -> str:
        number = f"{self.n}.{self.part}" if self.part else str(self.n)
        target = _MISREAD.sub(lambda found: quote(found.group()), self.target)
        return f"{self.cancellation_id}/{self.step.value}/{target}/{number}"

    def __repr__(self) -> str:
        return f"EffectKey({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EffectKey) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(value),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string"}
