"""Money: an integer of minor units with its ISO 4217 currency; never a float, never `/100`."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Self

from iso4217 import Currency as Iso4217
from pydantic import AfterValidator, Field, StrictInt

from domain.base import Value


# Rule: A currency has this many decimals
@cache
def exponent(currency: str) -> int:
    """Decimals of a currency by ISO 4217: JPY 0, USD 2, KWD 3. Raises ValueError for an unknown code."""
    try:
        known = Iso4217(currency)
    except ValueError:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency code") from None
    if known.exponent is None:
        raise ValueError(f"{currency} has no minor unit, so no amount can be kept in it")
    return int(known.exponent)


def _known(code: str) -> str:
    exponent(code)
    return code


CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), AfterValidator(_known)]


class Money(Value):
    """An amount in minor units (`5235` USD is 52.35). Arithmetic between two currencies is a programming error."""

    amount: StrictInt
    currency: CurrencyCode

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(amount=0, currency=currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """Read a decimal text such as `52.35`. Raises ValueError when it has more decimals than the currency."""
        places = exponent(currency)
        try:
            minor = Decimal(text).scaleb(places)
        except InvalidOperation:
            raise ValueError(f"{text!r} is not an amount") from None
        if minor != minor.to_integral_value():
            raise ValueError(f"{text} has more decimals than {currency} allows ({places})")
        return cls(amount=int(minor), currency=currency)

    @classmethod
    def total(cls, amounts: "Iterable[Money]", currency: str) -> "Money":
        return sum(amounts, start=Money.zero(currency))

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise TypeError(f"cannot combine {self.currency} with {other.currency}")
        return other.amount

    def __add__(self, other: "Money") -> "Money":
        return Money(amount=self.amount + self._same(other), currency=self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(amount=self.amount - self._same(other), currency=self.currency)

    def __neg__(self) -> "Money":
        return Money(amount=-self.amount, currency=self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.amount <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.amount > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.amount >= self._same(other)

    def __bool__(self) -> bool:
        return self.amount != 0

    def __str__(self) -> str:
        places = exponent(self.currency)
        return f"{Decimal(self.amount).scaleb(-places):.{places}f} {self.currency}"

    def share(self, part: int, whole: int) -> "Money":
        """This amount × part / whole, rounded down. Successive shares are taken as differences of cumulative ones, so
        that the last unit takes the rest and the shares of a whole always add up to it."""
        return Money(amount=self.amount * part // whole, currency=self.currency)

    def in_steps(self, step: int, *, up: bool = False) -> "Money":
        """The nearest amount below, or above with `up`, that is divisible by `step` minor units."""
        steps = -(-self.amount // step) if up else self.amount // step
        return Money(amount=steps * step, currency=self.currency)

    def split(self, weights: Sequence[int]) -> "tuple[Money, ...]":
        """This amount divided by `weights`, by largest remainders: the parts add up to it exactly, and none is a minor unit
        or more away from its share. Without any weight the first part takes all of it."""
        whole = sum(weights)
        if not whole:
            weights, whole = [1, *[0] * (len(weights) - 1)], 1
        parts = [self.amount * weight // whole for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda at: self.amount * weights[at] % whole, reverse=True)
        for at in by_remainder[: self.amount - sum(parts)]:
            parts[at] += 1
        return tuple(Money(amount=part, currency=self.currency) for part in parts)


_AMOUNT = re.compile(r"^(?P<amount>-?\d+(\.\d+)?) ?(?P<currency>[A-Z]{3})$")


def money(text: str) -> Money:
    """`money("52.35 USD")`: the readable form of sample data, tests and the command line. Raises ValueError."""
    found = _AMOUNT.match(text)
    if not found:
        raise ValueError(f"{text!r} is not an amount; write it as 52.35 USD")
    return Money.parse(found["amount"], found["currency"])
