"""Stripe's JSON of what the stand-in keeps."""

from sandbox.gateway.calls import page_of
from sandbox.gateway.errors import Json
from sandbox.gateway.expanding import NOTHING, Expanded
from sandbox.gateway.records import Dispute, Payment, Refund
from sandbox.gateway.store import Store


class Rendering:
    def __init__(self, store: Store) -> None:
        self._store = store

    def payment(self, payment: Payment, expanded: Expanded = NOTHING) -> Json:
        charge = expanded.get("latest_charge")
        return {
            "id": payment.id,
            "object": "payment_intent",
            "amount": payment.amount,
            "amount_capturable": payment.capturable,
            "amount_received": payment.captured,
            "canceled_at": int(payment.canceled_at) if payment.canceled_at else None,
            "cancellation_reason": payment.cancellation_reason,
            "capture_method": "manual" if payment.manual else "automatic",
            "confirmation_method": "automatic",
            "created": int(payment.created),
            "currency": payment.currency,
            "customer": payment.customer,
            "latest_charge": payment.charge
            if charge is None or payment.charge is None
            else self.charge(payment, charge),
            "livemode": False,
            "metadata": payment.metadata,
            "payment_method": payment.payment_method,
            "payment_method_types": ["card"],
            "setup_future_usage": payment.setup_future_usage,
            "status": payment.status,
        }

    def charge(self, payment: Payment, expanded: Expanded = NOTHING) -> Json:
        """Without its refunds, unless they are asked for: then with the newest ten."""
        refunds = self._store.owned(Refund, payment.id)
        refunded = sum(refund.amount for refund in refunds if refund.counts)
        shown: Json = {}
        if (listed := expanded.get("refunds")) is not None:
            url = f"/v1/charges/{payment.charge}/refunds"
            shown["refunds"] = page_of({}, refunds, lambda refund: self.refund(refund, listed.of_each), url)
        intent = expanded.get("payment_intent")
        state = "failed" if payment.open else "pending" if payment.status == "processing" else "succeeded"
        return {
            "id": payment.charge,
            "object": "charge",
            "amount": payment.amount,
            "amount_captured": payment.captured,
            "amount_refunded": refunded,
            "billing_details": {},
            "captured": payment.captured > 0,
            "created": int(payment.created),
            "currency": payment.currency,
            "customer": payment.customer,
            "disputed": bool(self._store.owned(Dispute, payment.id)),
            "livemode": False,
            "metadata": payment.metadata,
            "paid": state == "succeeded",
            "payment_intent": payment.id if intent is None else self.payment(payment, intent),
            "payment_method": payment.payment_method,
            "refunded": refunded == payment.amount,
            "status": state,
            **shown,
        }

    def refund(self, refund: Refund, expanded: Expanded = NOTHING) -> Json:
        moved = refund.status in {"succeeded", "failed"} and not refund.release
        payment = self._store.get(Payment, refund.payment, "payment_intent")
        charge, intent = expanded.get("charge"), expanded.get("payment_intent")
        reasons = {"failure_reason": refund.failure_reason, "pending_reason": refund.pending_reason}
        return {
            "id": refund.id,
            "object": "refund",
            "amount": refund.amount,
            "balance_transaction": refund.id.replace("re_", "txn_") if moved else None,
            "charge": refund.charge if charge is None else self.charge(payment, charge),
            "created": int(refund.created),
            "currency": refund.currency,
            "metadata": refund.metadata,
            "payment_intent": refund.payment if intent is None else self.payment(payment, intent),
            "reason": refund.reason,
            "status": refund.status,
            **{name: why for name, why in reasons.items() if why},
        }

    def dispute(self, dispute: Dispute) -> Json:
        return {
            "id": dispute.id,
            "object": "dispute",
            "amount": dispute.amount,
            "balance_transactions": [],
            "charge": dispute.charge,
            "created": int(dispute.created),
            "currency": dispute.currency,
            "evidence": {},
            "evidence_details": {"due_by": None, "has_evidence": False, "past_due": False, "submission_count": 0},
            "is_charge_refundable": dispute.is_inquiry,
            "livemode": False,
            "metadata": {},
            "payment_intent": dispute.payment,
            "reason": "fraudulent",
            "status": dispute.status,
        }
