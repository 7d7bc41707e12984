"""Disputes: opened and decided by a bank."""

from sandbox.gateway.calls import Call, page_of
from sandbox.gateway.errors import ApiError, Json
from sandbox.gateway.messages import EffectKind
from sandbox.gateway.records import DISPUTE_STATUSES, Dispute, EventKind, Payment
from sandbox.gateway.rendering import Rendering
from sandbox.gateway.store import Store

_MONEY_GONE = {"lost", "prevented"}


class Disputes:
    def __init__(self, store: Store, rendering: Rendering) -> None:
        self._store = store
        self._rendering = rendering

    def open_dispute(self, payment: Payment, status: str, amount: int | None = None) -> Dispute:
        assert payment.charge is not None
        dispute = Dispute(
            id=self._store.new_id("dp"),
            created=self._store.now,
            payment=payment.id,
            charge=payment.charge,
            amount=min(amount or payment.captured, payment.captured),
            currency=payment.currency,
            status=status,
        )
        self._store.save(dispute)
        self._store.add_effect(EffectKind.DISPUTE_CREATED, None, dispute, dispute.amount)
        if status in _MONEY_GONE:
            self._store.add_effect(EffectKind.DISPUTE_LOST, None, dispute, dispute.amount)
        self._store.add_event(EventKind.DISPUTE_CREATED, self._rendering.dispute(dispute))
        return dispute

    def change(self, payment_id: str, status: str, amount: int | None = None) -> Json:
        """Open a dispute, about `amount` or all that was captured, or let the bank decide the one that there is."""
        payment = self._store.get(Payment, payment_id, "payment_intent")
        if status not in DISPUTE_STATUSES:
            raise ApiError(400, f"Not a status of a dispute: {status}", param="status")
        if not payment.captured:
            raise ApiError(400, "Only a captured payment can be disputed.")
        known = self._store.owned(Dispute, payment.id)
        dispute = self._set_status(known[0], status) if known else self.open_dispute(payment, status, amount)
        return self._rendering.dispute(dispute)

    def close_inquiry(self, payment: Payment) -> None:
        """The payment was refunded in full."""
        for dispute in self._store.owned(Dispute, payment.id):
            if dispute.is_inquiry:
                self._set_status(dispute, "warning_closed")

    def _set_status(self, dispute: Dispute, status: str) -> Dispute:
        if status in _MONEY_GONE and dispute.status not in _MONEY_GONE:
            self._store.add_effect(EffectKind.DISPUTE_LOST, None, dispute, dispute.amount)
        if status == "won" and dispute.status in _MONEY_GONE:
            self._store.add_effect(EffectKind.DISPUTE_REINSTATED, None, dispute, dispute.amount)
        dispute.status = status
        self._store.save(dispute)
        closed = status in {"won", "lost", "warning_closed", "prevented"}
        self._store.add_event(
            EventKind.DISPUTE_CLOSED if closed else EventKind.DISPUTE_UPDATED, self._rendering.dispute(dispute)
        )
        return dispute

    def list_(self, call: Call) -> Json:
        payment = self._store.get(Payment, str(call.params.get("payment_intent", "")), "payment_intent")
        return page_of(call.params, self._store.owned(Dispute, payment.id), self._rendering.dispute, "/v1/disputes")
