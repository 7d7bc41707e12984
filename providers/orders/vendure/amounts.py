"""Money between Vendure and this product. Vendure keeps whole numbers with the same number of decimals in every currency."""

from decimal import Decimal
from fractions import Fraction

from domain.errors import ErrorCode, Refused
from domain.money import Money, exponent


class Amounts:
    """The amounts of one order. `precision`: how many decimals Vendure keeps (`moneyStrategyPrecision`)."""

    def __init__(self, order_id: str, currency: str, precision: int) -> None:
        self._order_id = order_id
        self._currency = currency
        self._precision = precision
        self._scale = Fraction(10) ** (exponent(currency) - precision)

    def to_money(self, amount: int) -> Money:
        """Refused: PROVIDER_REJECTED_SETTINGS where it has more decimals than its currency."""
        minor = amount * self._scale
        if minor.denominator != 1:
            raise self._refuse_amount(f"{Decimal(amount).scaleb(-self._precision)} {self._currency}")
        return Money(amount=int(minor), currency=self._currency)

    def to_nearest_money(self, amount: Fraction) -> Money:
        """Rounded, half to even."""
        return Money(amount=round(amount * self._scale), currency=self._currency)

    def to_vendure(self, amount: Money) -> int:
        """Refused: PROVIDER_REJECTED_SETTINGS where Vendure has too few decimals for it."""
        kept = amount.amount / self._scale
        if kept.denominator != 1:
            raise self._refuse_amount(str(amount))
        return int(kept)

    def _refuse_amount(self, amount: str) -> Refused:
        return Refused(
            ErrorCode.PROVIDER_REJECTED_SETTINGS,
            f"Vendure does not keep the decimals of {self._currency}, so {amount} of order {self._order_id} cannot be "
            "converted exactly. Give Vendure a MoneyStrategy that rounds by currency, and correct "
            "the order.",
        )
