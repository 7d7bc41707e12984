"""Legal clocks. The dates were counted by hand on a calendar."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from domain.clocks import RefundClock, refund_due
from domain.order import Order, OrderFlag
from tests.domain.build import line, order

EU = RefundClock(law="EU", days=14, eu_consumers=True)
US = RefundClock(law="US", days=7, working_days=True, countries=frozenset({"US"}))


def on(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


def to(country: str | None, *flags: OrderFlag) -> Order:
    of = order(line("L1", 1, "5.00 USD"), flags=frozenset(flags))
    return Order.model_validate({**dict(of), "country": country})


@pytest.mark.parametrize(
    ("learnt", "last_day"),
    [
        ("2026-11-03", "2026-11-17"),  # Tuesday to Tuesday
        ("2026-10-31", "2026-11-16"),  # a Saturday: Monday
        ("2026-12-11", "2026-12-28"),  # Christmas Day, a Friday; Saturday, Sunday: Monday
    ],
)
def test_fourteen_days_end_on_a_working_day(learnt: str, last_day: str) -> None:
    assert EU.due(on(learnt), "DE") == datetime.fromisoformat(f"{last_day}T20:00:00+00:00")


@pytest.mark.parametrize(
    ("learnt", "last_day"),
    [
        ("2026-11-02", "2026-11-12"),  # Veterans Day (11 November) does not count
        ("2026-11-24", "2026-12-04"),  # neither does Thanksgiving
        ("2026-12-23", "2027-01-05"),  # nor Christmas and New Year's Day, in the next year
    ],
)
def test_seven_working_days_leave_out_weekends_and_holidays(learnt: str, last_day: str) -> None:
    assert US.due(on(learnt), "US") == datetime.fromisoformat(f"{last_day}T20:00:00+00:00")


def test_without_a_country_only_weekends_are_off() -> None:
    assert EU.due(on("2026-12-11"), None) == datetime(2026, 12, 25, 20, tzinfo=UTC)


def test_the_law_goes_by_the_country_of_delivery_and_the_consumer() -> None:
    due = refund_due((EU, US), to("US"), on("2026-11-03"))
    assert due is not None
    assert due.law == "US"
    assert refund_due((EU, US), to("US", OrderFlag.EU_CONSUMER), on("2026-11-03")) == due  # the strictest of both
    eu = refund_due((EU, US), to("DE", OrderFlag.EU_CONSUMER), on("2026-11-03"))
    assert eu is not None
    assert eu.law == "EU"
    assert refund_due((EU, US), to("JP"), on("2026-11-03")) is None


@pytest.mark.parametrize("written", ["Germany", "DEU", "XX", "", "de-DE"])
def test_what_is_no_country_is_refused_in_the_policy(written: str) -> None:
    """F22"""
    with pytest.raises(ValidationError, match="ISO 3166-1"):
        RefundClock(law="x", days=1, countries=frozenset({written}))


@pytest.mark.parametrize(
    ("written", "code"), [("us", "US"), (" de ", "DE"), ("UK", "GB"), ("uk", "GB"), ("EL", "GR"), ("xk", "XK")]
)
def test_a_country_is_known_however_it_is_written(written: str, code: str) -> None:
    """F22: of an order and in the policy."""
    clock = RefundClock(law="x", days=1, countries=frozenset({written}))
    assert to(written).country == code
    assert clock.applies_to(to(code))
    assert clock.applies_to(to(written))
