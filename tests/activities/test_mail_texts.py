"""What a mail must not say."""

import pytest

from activities.notices import write
from domain.decision import Rule
from domain.facts import RollBackReason
from domain.money import money
from providers.outbox.port import NoticeKind, RefundWay
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
    ("language", "says"), [("en", "a person will look at it"), ("de", "kümmert sich ein Mitarbeiter darum")]
)
def test_who_withdraws_through_a_sender_with_a_limit_does_not_read_of_it(language: str, says: str) -> None:
    sentence = (
        "60.00 USD of order O-1 would go back, and at most 50.00 USD may here. Ask as somebody who may give it back."
    )
    answer = notice(kind=NoticeKind.NOT_CANCELLED, about="amount_exceeds_at_most", sentence=sentence, language=language)
    mail = write(answer, "shop.example")
    assert says in mail.body
    assert "at most" not in mail.body, "that is for the sender"


REJECTING = (
    Rule.REASON_NOT_ALLOWED,
    Rule.INVALID_SCOPE,
    Rule.INVALID_ORDER,
    Rule.ALREADY_CANCELLED,
    Rule.ALREADY_DELIVERED,
    Rule.AMOUNT_EXCEEDS_REFUNDABLE,
    Rule.AMOUNT_EXCEEDS_AT_MOST,
    Rule.GIFT_CARD_USED,
    Rule.FINAL_SALE,
    Rule.CUSTOMISED,
)
"""The rules that reject a withdrawal from an order that there is."""


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_rule_that_rejects_a_withdrawal_has_its_own_words_and_quotes_no_decision(language: str) -> None:
    """The decision's sentence is English, and for staff."""
    sentence = "Order O-1 was paid in dollars."
    bodies = {
        write(notice(kind=NoticeKind.NOT_CANCELLED, about=rule, sentence=sentence, language=language), "s.example").body
        for rule in REJECTING
    }
    assert len(bodies) == len(REJECTING)
    assert not any(sentence in body for body in bodies)


@pytest.mark.parametrize(
    ("language", "says"),
    [("en", "We could not cancel these goods automatically.\n\nPlease reply"), ("de", "nicht automatisch stornieren.")],
)
def test_a_rule_without_words_of_its_own_claims_nothing(language: str, says: str) -> None:
    answer = notice(kind=NoticeKind.NOT_CANCELLED, about="a_new_rule", sentence="For staff.", language=language)
    body = write(answer, "shop.example").body
    assert says in body
    assert "For staff." not in body


SAYS_WHO = {
    RollBackReason.WITHDRAWN: ("You have withdrawn", "Sie haben die Anfrage zurückgenommen"),
    RollBackReason.WITHDRAWN_BY_STAFF: ("has been withdrawn, so", "zu stornieren, wurde zurückgenommen."),
    RollBackReason.APPROVAL_REFUSED: ("decided not to cancel it", "uns dagegen entschieden"),
    RollBackReason.APPROVAL_EXPIRED: ("nobody gave it in time", "nicht rechtzeitig"),
    RollBackReason.CANCEL_REQUEST: ("an administrator of our systems stopped", "von einem Administrator abgebrochen"),
    RollBackReason.STEP_REFUSED: ("could not be completed.", "ließ sich nicht abschließen."),
    RollBackReason.GOODS_NOT_STOPPED: ("could not be completed.", "ließ sich nicht abschließen."),
    RollBackReason.ORDERED: ("our staff has stopped it", "unsere Mitarbeiter haben sie abgebrochen"),
}


@pytest.mark.parametrize("reason", RollBackReason)
@pytest.mark.parametrize(("at", "language"), enumerate(["en", "de"]))
def test_a_mail_about_a_roll_back_says_who_wanted_it(at: int, language: str, reason: RollBackReason) -> None:
    """P1"""
    undone = notice(kind=NoticeKind.NOT_CANCELLED, about=reason, received_at=None, language=language)
    body = write(undone, "shop.example").body
    assert SAYS_WHO[reason][at] in body
    assert ("The order continues." if language == "en" else "läuft weiter.") in body


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


BANKS = {"en": ("bank", "card issuer"), "de": ("Bank", "Kartenanbieter")}
SAYS_WAY = {
    RefundWay.CARD: ("the way you paid", "auf dem Weg zurück, auf dem Sie bezahlt haben"),
    RefundWay.STORED_VALUE: ("the gift card or store credit", "Geschenkkarte oder dem Guthaben"),
    RefundWay.STORE_CREDIT: ("as store credit", "als Guthaben"),
    RefundWay.MARKETPLACE: ("The marketplace", "Marktplatz"),
    RefundWay.BANK_TRANSFER: ("transferred the money to your bank account", "auf Ihr Bankkonto überwiesen"),
    RefundWay.DISPUTE: ("from your bank, where the payment was disputed", "von Ihrer Bank"),
    RefundWay.AGREED: ("that we have agreed on with you", "mit Ihnen vereinbart"),
}


def refunded_mail(language: str, *ways: RefundWay) -> str:
    return write(notice(kind=NoticeKind.REFUNDED, ways=ways, language=language), "shop.example").body


@pytest.mark.parametrize("way", RefundWay)
@pytest.mark.parametrize(("at", "language"), enumerate(BANKS))
def test_a_mail_about_a_refund_says_by_which_way_the_money_goes_back(at: int, language: str, way: RefundWay) -> None:
    body = refunded_mail(language, way)
    assert SAYS_WAY[way][at] in body
    of_bank = way in {RefundWay.CARD, RefundWay.BANK_TRANSFER, RefundWay.DISPUTE}
    assert any(word in body for word in BANKS[language]) is of_bank


@pytest.mark.parametrize(("language", "says"), [("en", "- as store credit"), ("de", "- als Guthaben")])
def test_a_mail_about_a_refund_in_parts_names_each_way(language: str, says: str) -> None:
    body = refunded_mail(language, RefundWay.CARD, RefundWay.STORE_CREDIT)
    assert says in body
    assert body.count("\n- ") == 2
