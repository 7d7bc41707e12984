"""Legal clocks: until when the law wants the customer's money to be back."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import Field

from domain.base import Value
from domain.country import Country, countries, days_off
from domain.order import Order, OrderFlag

_LATEST_HOUR = time(20, tzinfo=UTC)
"""Before midnight of the last day everywhere in the EU and, more so, west of it."""
_YEARS_KNOWN = 2


class RefundDue(Value):
    """When a refund is due, and by which law."""

    law: str
    at: datetime


# Rule: The law says by when the money has to be back; policy.toml has the laws
class RefundClock(Value):
    """One law of `policy.toml`. It applies to orders that are delivered to one of `countries` or, with `eu_consumers`, to
    consumers in the EU.

    Days are counted from the day after the merchant learnt of the cancellation. With `working_days`, Saturdays, Sundays and
    public holidays do not count (16 CFR 435.1 counts so). Without, every day counts, and a last day that is one of those is
    put off to the next working day (Regulation 1182/71, art. 3, for terms of EU law). The calendar of holidays is the
    delivery country's.
    """

    law: str
    days: Annotated[int, Field(ge=1, le=90)]
    working_days: bool = False
    eu_consumers: bool = False
    countries: frozenset[Country] = frozenset()

    def applies_to(self, order: Order) -> bool:
        return order.country in self.countries or (self.eu_consumers and OrderFlag.EU_CONSUMER in order.flags)

    def due(self, learnt_at: datetime, country: str | None) -> datetime:
        """When the term ends that began with `learnt_at`: 20:00 UTC of its last day, which is before midnight there."""
        first = learnt_at.astimezone(UTC).date()
        is_off = _days_off(country, first.year)
        day = first
        if self.working_days:
            for _ in range(self.days):
                day = _next_working_day(day, is_off)
        else:
            day += timedelta(days=self.days)
            if day.weekday() >= 5 or day in is_off:
                day = _next_working_day(day, is_off)
        return datetime.combine(day, _LATEST_HOUR)


def refund_due(clocks: Sequence[RefundClock], order: Order, learnt_at: datetime) -> RefundDue | None:
    """The strictest of the laws that apply to an order; None when none does."""
    dues = [
        RefundDue(law=clock.law, at=clock.due(learnt_at, order.country)) for clock in clocks if clock.applies_to(order)
    ]
    return min(dues, key=lambda due: due.at, default=None)


def _days_off(country: str | None, year: int) -> frozenset[date]:
    if country is None or country not in countries():
        return frozenset()  # it is not known where to: fewer days off make an earlier due time, never a later one
    return days_off(country, range(year, year + _YEARS_KNOWN))


def _next_working_day(day: date, off: frozenset[date]) -> date:
    day += timedelta(days=1)
    while day.weekday() >= 5 or day in off:
        day += timedelta(days=1)
    return day
