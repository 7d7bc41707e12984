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
    ("language", "says"), [("en", "send them back within 14 days"), ("de", "innerhalb von 14 Tagen")]
)
def test_who_withdraws_from_what_was_delivered_reads_what_to_do(language: str, says: str) -> None:
    """E28"""
    answer = notice(
        kind=NoticeKind.NOT_CANCELLED, about="already_delivered", sentence="Offer a return.", language=language
    )
    mail = write(answer, "shop.example")
    assert says in mail.body
    assert "Offer a return" not in mail.body, "that is for staff"


@pytest.mark.parametrize(
    ("language", "says"), [("en", "a person will look at it"), ("de", "sieht ein Mensch sie sich")]
)
def test_who_withdraws_through_a_sender_with_a_limit_does_not_read_of_it(language: str, says: str) -> None:
    sentence = (
        "60.00 USD of order O-1 would go back, and at most 50.00 USD may here. Ask as somebody who may give it back."
    )
    answer = notice(kind=NoticeKind.NOT_CANCELLED, about="amount_exceeds_at_most", sentence=sentence, language=language)
    mail = write(answer, "shop.example")
    assert says in mail.body
    assert "at most" not in mail.body, "that is for the sender"


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_rejected_withdrawal_without_words_of_its_own_is_answered_with_the_decisions_sentence(language: str) -> None:
    sentence = "Order O-1 was paid in dollars."
    answer = notice(kind=NoticeKind.NOT_CANCELLED, about="invalid_order", sentence=sentence, language=language)
    assert sentence in write(answer, "shop.example").body


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
