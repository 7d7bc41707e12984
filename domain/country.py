"""Countries by ISO 3166-1, in two letters."""

from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import Annotated

from pydantic import AfterValidator

_ALSO_WRITTEN = {"UK": "GB", "EL": "GR"}
"""The two codes of the EU's own texts that differ from ISO 3166-1, which keeps UK free for that use."""


@cache
def countries() -> frozenset[str]:
    """All of the standard, and XK for Kosovo. Each has a calendar of holidays. They are loaded with the first
    country, because whoever starts a cancellation or looks at one needs none."""
    from holidays import list_supported_countries  # noqa: PLC0415

    return frozenset(list_supported_countries(include_aliases=False))


def days_off(country: str, years: Iterable[int]) -> frozenset[date]:
    """The public holidays of a country."""
    from holidays import country_holidays  # noqa: PLC0415

    return frozenset(country_holidays(country, years=years))


# Rule: A country is written as the standard writes it
def standard_code(written: str) -> str | None:
    """The standard's code of what a shop has written; None: it is no country."""
    code = written.strip().upper()
    code = _ALSO_WRITTEN.get(code, code)
    return code if code in countries() else None


def _known(written: str) -> str:
    code = standard_code(written)
    if code is None:
        raise ValueError(f"{written!r} is no country: write the two letters of ISO 3166-1")
    return code


Country = Annotated[str, AfterValidator(_known)]
CountryAsWritten = Annotated[str, AfterValidator(lambda written: standard_code(written) or written)]
"""By the standard where it is one; what is none stays as it is, to be refused by name."""
