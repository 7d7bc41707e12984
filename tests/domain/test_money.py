import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.money import Money, money


@pytest.mark.parametrize(
    ("text", "minor"), [("9899 JPY", 9899), ("12.345 KWD", 12345), ("52.35 USD", 5235), ("-0.05 USD", -5)]
)
def test_every_currency_keeps_its_own_number_of_decimals(text: str, minor: int) -> None:
    """B30"""
    assert money(text).amount == minor
    assert str(money(text)) == text


@pytest.mark.parametrize("text", ["52.351 USD", "9899.5 JPY", "12 XYZ", "1e3 USD", "12.3", "USD 5", "1 XAU"])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        money(text)


def test_a_float_is_never_money() -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"amount": 52.0, "currency": "USD"})


def test_two_currencies_do_not_mix() -> None:
    with pytest.raises(TypeError, match="cannot combine USD with EUR"):
        money("1.00 USD") + money("1.00 EUR")


@pytest.mark.properties
@given(st.integers(0, 10**9), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_shares_taken_one_after_the_other_add_up_to_the_whole(amount: int, parts: list[int]) -> None:
    whole = Money(amount=amount, currency="USD")
    total, done, taken = sum(parts), 0, []
    for part in parts:
        taken.append(whole.share(done + part, total) - whole.share(done, total))
        done += part
    assert Money.total(taken, "USD") == whole
    assert all(share.amount >= 0 for share in taken)
