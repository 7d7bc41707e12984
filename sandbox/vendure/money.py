"""Vendure's amounts: integers with two decimals, whatever the currency; 9900 yen are 990000."""

from decimal import ROUND_HALF_UP, Decimal

from domain.money import Money, exponent

_DECIMALS = 2


def units_of(amount: Money) -> int:
    """Raises ValueError for a currency that has more decimals than this shop."""
    return amount.amount * _scale(amount.currency)


def money_of(units: int, currency: str) -> Money:
    """Raises ValueError for an amount that is no whole number of the currency's minor units."""
    amount, rest = divmod(units, _scale(currency))
    if rest:
        raise ValueError(f"{Decimal(units).scaleb(-_DECIMALS)} has more decimals than {currency} allows")
    return Money(amount=amount, currency=currency)


def tax_rate_of(gross: int, tax: int, known: tuple[int, ...]) -> Decimal:
    """The rate, in per cent, by which Vendure computes exactly this tax: a `known` one if possible."""
    if gross == 0:
        return Decimal()
    exact = round(Decimal(tax * 100) / (gross - tax), 6)
    return next(rate for rate in (*map(Decimal, known), exact) if _tax_in(gross, rate) == tax)


def _tax_in(gross: int, rate: Decimal) -> int:
    net = Decimal(gross) / (1 + rate / 100)
    return gross - int(net.quantize(Decimal(1), ROUND_HALF_UP))


def _scale(currency: str) -> int:
    if exponent(currency) > _DECIMALS:
        raise ValueError(f"The shop keeps two decimals, and {currency} has {exponent(currency)}")
    return int(10 ** (_DECIMALS - exponent(currency)))
