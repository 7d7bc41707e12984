"""What a mail must not say."""

import pytest

from activities.notices import write
from domain.money import money
from providers.outbox.port import NoticeKind
from tests.activities.test_notices import notice


@pytest.mark.parametrize(
    ("language", "says", "never_says"),
    [
        ("en", ("will not charge 60.00 USD", "may stay reserved"), "is released;"),
        ("de", ("buchen wir 60,00 USD nicht ab", "reserviert bleiben"), "ist aufgehoben"),
    ],
)
def test_what_is_only_not_captured_is_not_called_released(
    language: str, says: tuple[str, str], never_says: str
) -> None:
    """F3, E3: it stays reserved until the rest is captured, or the reservation ends."""
    mail = write(
        notice(
            kind=NoticeKind.RESERVATION_RELEASED,
            about="not_captured",
            amount=money("60.00 USD"),
            language=language,
        ),
        "shop.example",
    )
    for words in says:
        assert words in mail.body
    assert never_says not in mail.subject + mail.body
    assert "60" in mail.subject


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("en", ("60.00 USD of a payment that you have not completed", "still open")),
        ("de", ("60,00 USD einer Zahlung, die Sie noch nicht abgeschlossen haben", "noch offen")),
    ],
)
def test_what_need_not_be_paid_is_not_called_reserved(language: str, says: tuple[str, str]) -> None:
    """E1, E3: nothing of an open payment for two orders was ever reserved."""
    of_open_payment = notice(
        kind=NoticeKind.RESERVATION_RELEASED, about="not_to_be_paid", amount=money("60.00 USD"), language=language
    )
    mail = write(of_open_payment, "shop.example")
    for words in says:
        assert words in mail.body
    assert "reserv" not in mail.subject + mail.body
    assert "60" in mail.subject
