"""What a person is asked about a tender whose money does not simply go back."""

from activities.attempt import Attempt
from domain.errors import ErrorCode, Refused
from domain.money import Money
from domain.payment import DisputeState, Payment


def disputed(attempt: Attempt, payment: Payment) -> Refused:
    reversal = attempt.case.reversal(attempt.step_input.target)
    if payment.dispute is DisputeState.OPEN or not payment.charge_backs:
        return Refused(
            ErrorCode.PAYMENT_DISPUTED,
            f"The payment of {attempt.tender_in_words} is disputed at the bank{reversal.disputes_in_words}; refunding now "
            "could pay twice. Answer the dispute. If the bank pays the customer, resolve the step with the dispute's "
            "number; if the dispute is won, retry the step.",
        )
    unnamed = [back.less(reversal.named_disputes) for back in reversal.charge_backs]
    given = " and ".join(f"{back.amount} by dispute {back.reference}" for back in unnamed if back.amount)
    if not given:
        return Refused(
            ErrorCode.PAYMENT_DISPUTED,
            f"{reversal.outstanding} of {attempt.tender_in_words} is owed besides what the bank gave back by a dispute. "
            "Transfer it and resolve the step with the transfer's reference.",
        )
    if Money.total((back.amount for back in unnamed), reversal.outstanding.currency) < reversal.outstanding:
        return Refused(
            ErrorCode.PAYMENT_DISPUTED,
            f"The customer has a part of the money already: of {reversal.outstanding} that is owed on "
            f"{attempt.tender_in_words} the bank gave back {given}. Resolve the step with the dispute's number; you are "
            "asked for the rest then.",
        )
    return Refused(
        ErrorCode.PAYMENT_DISPUTED,
        f"The customer has the money already: of the payment of {attempt.tender_in_words} the bank "
        f"gave back {given}. Resolve the step with the dispute's number.",
    )


def by_hand_alone(attempt: Attempt, payment: Payment, amount: Money) -> Refused:
    if attempt.case.reversal(attempt.step_input.target).planned.share is not None:
        return Refused(
            ErrorCode.REFUND_EXCEEDS_CAPTURED,
            f"{amount} may be owed on {attempt.tender_in_words}, and its payment, of which {payment.refunded} has been "
            "refunded, does not have it: it pays other orders too. Find out what was refunded for which of them. What this "
            "order's customer has not had, transfer to them, and resolve the step with the transfer's reference; if they "
            "have had it, resolve the step as nothing due.",
        )
    return Refused(
        ErrorCode.REFUND_EXCEEDS_CAPTURED,
        f"{amount} of {attempt.tender_in_words} is owed, and the gateway does not have it: it went to the "
        "customer by refunds that are not for this, or that they have paid back, or it is less than the gateway takes. "
        "Transfer it and resolve the step with the transfer's reference.",
    )


def unclear(attempt: Attempt, payment: Payment, amount: Money) -> Refused:
    return Refused(
        ErrorCode.REFUND_UNCLEAR,
        f"{amount} may be owed on {attempt.tender_in_words}: {payment.taken} of {payment.whole} was captured, "
        "and nobody can tell whether for this order or for another one that it pays. If for this one, refund it at the "
        "gateway and resolve the step with the refund's number; otherwise resolve it as nothing due.",
    )


def second_person(attempt: Attempt, amount: Money) -> Refused:
    return Refused(
        ErrorCode.REFUND_UNCLEAR,
        f"{amount} of {attempt.tender_in_words} was taken after the cancellation was decided, and the order is under fraud "
        "review. A second person looks first: somebody who has not asked for the cancellation retries the step to refund "
        "it, or resolves it as nothing due.",
    )
