"""Refunds: made, settled, failed, cancelled; what Stripe allows with them."""

from sandbox.gateway.calls import Call, amount_of, page_of
from sandbox.gateway.disputes import Disputes
from sandbox.gateway.errors import ApiError, Json
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.gateway.payments import refuse_state
from sandbox.gateway.records import Dispute, EventKind, Payment, Refund
from sandbox.gateway.refusals import refuse
from sandbox.gateway.rendering import Rendering
from sandbox.gateway.store import Store

FAILURE_REASONS = {
    "charge_for_pending_refund_disputed",
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
}
"""Of API version 2026-10-28 (docs.stripe.com/api/refunds/object)."""


class Refunds:
    """`settle_seconds`: how long a pending refund takes."""

    def __init__(self, store: Store, rendering: Rendering, disputes: Disputes, *, settle_seconds: float) -> None:
        self._store = store
        self._rendering = rendering
        self._disputes = disputes
        self._settle_seconds = settle_seconds

    def create(self, call: Call) -> Json:
        params = call.params
        payment = self._store.get(Payment, str(params.get("payment_intent", "")), "payment_intent")
        if not payment.captured or payment.charge is None:
            refuse_state(payment, "refunded", "something of it was captured")
        if any(dispute.blocks_refunds for dispute in self._store.owned(Dispute, payment.id)):
            raise ApiError(400, "The charge has been charged back.", code="charge_disputed")
        refunds = self._store.owned(Refund, payment.id)
        left = payment.captured - sum(refund.amount for refund in refunds if refund.counts and not refund.release)
        if left == 0:
            raise ApiError(400, "The charge has already been refunded.", code="charge_already_refunded")
        amount = amount_of(params, "amount", payment.currency) if "amount" in params else left
        if amount > left:
            raise ApiError(
                400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
            )
        if call.fault is FaultKind.REFUSE:
            raise refuse(call.fault_code)
        refund = Refund(
            id=self._store.new_id("re"),
            created=self._store.now,
            payment=payment.id,
            charge=payment.charge,
            amount=amount,
            currency=payment.currency,
            status="succeeded",
            metadata=dict(params.get("metadata", {})),
            reason=params.get("reason"),
        )
        if call.fault is FaultKind.PENDING_INSUFFICIENT_FUNDS:
            refund.status, refund.pending_reason = "pending", "insufficient_funds"
        elif call.fault is FaultKind.REQUIRES_ACTION:
            refund.status = "requires_action"
        elif payment.card == "pm_card_pendingRefund":
            refund.status, refund.pending_reason = "pending", "processing"
            refund.becomes, refund.changes_at = "succeeded", self._store.now + self._settle_seconds
        elif payment.card == "pm_card_refundFail":
            refund.becomes, refund.changes_at = "failed", self._store.now + self._settle_seconds
        self._store.save(refund)
        self._store.add_effect(EffectKind.REFUND_CREATED, call, refund, amount)
        if refund.status == "succeeded":
            self._store.add_effect(EffectKind.REFUND_SETTLED, call, refund, amount)
        self._store.add_event(EventKind.REFUND_CREATED, self._rendering.refund(refund), call.key)
        self._store.add_event(EventKind.CHARGE_REFUNDED, self._rendering.charge(payment), call.key)
        if amount == left:
            self._disputes.close_inquiry(payment)
        return self._rendering.refund(refund, call.expanded)

    def change(
        self, refund: Refund, status: str, call: Call | None = None, why: str = "expired_or_canceled_card"
    ) -> None:
        refund.status, refund.changes_at, refund.becomes, refund.pending_reason = status, None, None, None
        if status == "failed":
            refund.failure_reason = why
        self._store.save(refund)
        effect = {
            "succeeded": EffectKind.REFUND_SETTLED,
            "failed": EffectKind.REFUND_FAILED,
            "canceled": EffectKind.REFUND_CANCELED,
        }[status]
        self._store.add_effect(effect, call, refund, refund.amount)
        self._store.add_event(EventKind.REFUND_UPDATED, self._rendering.refund(refund), call.key if call else None)
        if status == "failed":
            self._store.add_event(EventKind.REFUND_FAILED, self._rendering.refund(refund))

    def cancel(self, call: Call) -> Json:
        refund = self._store.get(Refund, call.object_id, "refund")
        if refund.status != "requires_action":
            raise ApiError(400, f"A refund with status {refund.status} cannot be canceled.")
        self.change(refund, "canceled", call)
        return self._rendering.refund(refund, call.expanded)

    def read(self, call: Call) -> Json:
        return self._rendering.refund(self._store.get(Refund, call.object_id, "refund"), call.expanded)

    def list_(self, call: Call) -> Json:
        payment = self._store.get(Payment, str(call.params.get("payment_intent", "")), "payment_intent")
        return page_of(
            call.params,
            self._store.owned(Refund, payment.id),
            lambda refund: self._rendering.refund(refund, call.expanded.of_each),
            "/v1/refunds",
        )

    def fail_disputed(self, payment_id: str) -> None:
        """The bank disputes the payment: a refund that has not been sent for want of the merchant's balance fails
        (support.stripe.com/questions/pending-refunds-due-to-insufficient-stripe-balance)."""
        for refund in self._store.owned(Refund, payment_id):
            if refund.pending_reason == "insufficient_funds":
                self.change(refund, "failed", why="charge_for_pending_refund_disputed")

    def end(self, refund_id: str, status: str, why: str = "expired_or_canceled_card") -> Json:
        """The bank's answer, by hand. A refund that succeeded can still fail."""
        if why not in FAILURE_REASONS:
            raise ApiError(400, f"Not a reason for which a refund fails: {why}", param="failure_reason")
        refund = self._store.get(Refund, refund_id, "refund")
        if not refund.counts or refund.release or refund.status == status:
            raise ApiError(400, f"A refund with status {refund.status} cannot become {status}.")
        self.change(refund, status, why=why)
        return self._rendering.refund(refund)
