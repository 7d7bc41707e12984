"""Countries by ISO 3166-1, in two letters."""

from typing import Annotated

import holidays
from pydantic import AfterValidator

COUNTRIES = frozenset(holidays.list_supported_countries(include_aliases=False))
"""All of the standard, and XK for Kosovo. Each has a calendar of holidays."""

_ALSO_WRITTEN = {"UK": "GB", "EL": "GR"}
"""The two codes of the EU's own texts that differ from ISO 3166-1, which keeps UK free for that use."""


# Rule: A country is written as the standard writes it
def standard_code(written: str) -> str | None:
    """The standard's code of what a shop has written; None: it is no country."""
    code = written.strip().upper()
    code = _ALSO_WRITTEN.get(code, code)
    return code if code in COUNTRIES else None


def _known(written: str) -> str:
    code = standard_code(written)
    if code is None:
        raise ValueError(f"{written!r} is no country: write the two letters of ISO 3166-1")
    return code


Country = Annotated[str, AfterValidator(_known)]
CountryAsWritten = Annotated[str, AfterValidator(lambda written: standard_code(written) or written)]
"""By the standard where it is one; what is none stays as it is, to be refused by name."""
