"""Lines end between words."""

import io

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from client.layout import Prose, Rows


def shown(view: RenderableType, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(view)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_date_or_an_amount_goes_into_the_next_line_as_a_whole() -> None:
    text = "waits for carrier, due 2026-12-01 10:00:00 UTC: 640.00 USD is above the limit"
    assert shown(Prose(text, indent=2), 34) == [
        "waits for carrier, due",
        "  2026-12-01 10:00:00 UTC:",
        "  640.00 USD is above the limit",
    ]


@pytest.mark.parametrize("width", [10, 20, 33, 80])
def test_no_word_is_broken_that_fits_a_line(width: int) -> None:
    text = "Answer the dispute, then resolve the step with its reference."
    assert " ".join(shown(Prose(text), width)).split() == text.split()


def test_a_word_that_is_longer_than_a_line_is_shown_all_the_same() -> None:
    assert "".join(shown(Prose("x" * 25), 10)) == "x" * 25


def test_columns_become_narrower_only_as_far_as_their_longest_word() -> None:
    rows = Rows("what", "detail")
    rows.add_row("reverse payment", Text("the department pays it back"))
    assert shown(rows, 26) == [
        "what          detail",
        "reverse       the",
        "payment       department",
        "              pays it back",
    ]
    assert shown(rows, 60)[1] == "reverse payment  the department pays it back"
