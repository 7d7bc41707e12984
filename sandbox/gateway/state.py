"""The gateway's memory and rules: payments, refunds and disputes in one SQLite file, and what Stripe allows with them.

Every call of the API is one transaction, committed before it is answered, so that a killed process forgets nothing. Amounts
are integers in Stripe's units. Time is the sandbox clock: real time plus an offset that is kept in the file.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from domain.money import exponent
from sandbox.gateway.errors import ApiError, Json
from sandbox.gateway.expanding import NOTHING, Expanded
from sandbox.gateway.messages import Effect, EffectKind, Fault, FaultKind

KEY_RETENTION = 24 * 3600.0
MOST_TYPES = 20
AUTHORISATION_LASTS = 7 * 24 * 3600.0

DECLINES = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
    "pm_card_visa_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
}
CARDS = {
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_amex",
    "pm_card_pendingRefund",
    "pm_card_refundFail",
    "pm_card_createDispute",
    *DECLINES,
}
"""Stripe's own test payment methods, under their documented names."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, kind TEXT, owner TEXT, due REAL, doc TEXT);
CREATE INDEX IF NOT EXISTS objects_by_owner ON objects (kind, owner);
CREATE INDEX IF NOT EXISTS objects_by_due ON objects (due) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, fingerprint TEXT, status INTEGER, body TEXT, at REAL);
CREATE TABLE IF NOT EXISTS faults (seq INTEGER PRIMARY KEY, payment TEXT, operation TEXT, remaining INTEGER, doc TEXT);
CREATE TABLE IF NOT EXISTS effects (seq INTEGER PRIMARY KEY, payment TEXT, doc TEXT);
CREATE TABLE IF NOT EXISTS calls (payment TEXT, operation TEXT);
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, id TEXT, type TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY, event INTEGER, not_before REAL, attempts INTEGER DEFAULT 0, delivered INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), ahead REAL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""


class Record(BaseModel):
    id: str
    created: float

    @property
    def owner(self) -> str | None:
        """The object whose list this one is in."""
        return None

    @property
    def due(self) -> float | None:
        """When time changes it."""
        return None


class Customer(Record):
    metadata: dict[str, str]


class PaymentMethod(Record):
    card: str
    customer: str | None = None


class Payment(Record):
    amount: int
    currency: str
    status: str
    manual: bool
    multicapture: bool
    payment_method: str | None
    card: str | None
    customer: str | None
    setup_future_usage: str | None
    metadata: dict[str, str]
    charge: str | None = None
    capturable: int = 0
    captured: int = 0
    expires_at: float | None = None
    canceled_at: float | None = None
    cancellation_reason: str | None = None

    @property
    def owner(self) -> str | None:
        return self.customer

    @property
    def due(self) -> float | None:
        return self.expires_at if self.status == "requires_capture" else None


class Refund(Record):
    """`release`: Stripe also lists the end of an authorisation as a refund, one without a balance transaction."""

    payment: str
    charge: str
    amount: int
    currency: str
    status: str
    metadata: dict[str, str]
    reason: str | None = None
    release: bool = False
    pending_reason: str | None = None
    failure_reason: str | None = None
    changes_at: float | None = None
    becomes: str | None = None

    @property
    def owner(self) -> str | None:
        return self.payment

    @property
    def due(self) -> float | None:
        return self.changes_at

    @property
    def counts(self) -> bool:
        return self.status not in {"failed", "canceled"}


class Dispute(Record):
    payment: str
    charge: str
    amount: int
    currency: str
    status: str

    @property
    def owner(self) -> str | None:
        return self.payment


class Event(Record):
    """`body` is what a webhook brings."""

    body: Json


AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class Call:
    """One request to the API: the id in its path, its parameters, what of its answer is shown whole, and what is going to
    happen to it."""

    params: Mapping[str, Any]
    object_id: str = ""
    key: str | None = None
    fault: FaultKind | None = None
    expanded: Expanded = NOTHING


@dataclass(frozen=True)
class Stored:
    fingerprint: str
    status: int
    body: Json


class State:
    def __init__(self, path: Path, *, settle_seconds: float, webhooks: bool, seed: int) -> None:
        self._settle_seconds = settle_seconds
        self._webhooks = webhooks
        self._seed = seed
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- clock ---------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        (ahead,) = self._db.execute("SELECT ahead FROM clock").fetchone()
        return time.time() + float(ahead)

    def advance(self, seconds: float) -> None:
        self._db.execute("UPDATE clock SET ahead = ahead + ?", (seconds,))

    def settle_due(self) -> None:
        """Let happen what time has brought: refunds settle or fail, authorisations expire."""
        rows = self._db.execute("SELECT kind, doc FROM objects WHERE due <= ? ORDER BY due", (self.now,)).fetchall()
        for kind, doc in rows:
            if kind == Refund.__name__:
                refund = Refund.model_validate_json(doc)
                self._change_refund(refund, refund.becomes or "succeeded")
            else:
                self._expire(Payment.model_validate_json(doc))

    # -- records -------------------------------------------------------------------------------------------------------

    def _save(self, record: Record) -> None:
        self._db.execute(
            "INSERT INTO objects (id, kind, owner, due, doc) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, due = excluded.due, doc = excluded.doc",
            (record.id, type(record).__name__, record.owner, record.due, record.model_dump_json()),
        )

    def _find(self, kind: type[AnyRecord], record_id: str) -> AnyRecord | None:
        row = self._db.execute(
            "SELECT doc FROM objects WHERE id = ? AND kind = ?", (record_id, kind.__name__)
        ).fetchone()
        return kind.model_validate_json(row[0]) if row else None

    def _get(self, kind: type[AnyRecord], record_id: str, param: str) -> AnyRecord:
        found = self._find(kind, record_id)
        if found is None:
            raise ApiError(404, f"No such {param}: '{record_id}'", code="resource_missing", param=param)
        return found

    def _owned(self, kind: type[AnyRecord], owner: str) -> list[AnyRecord]:
        rows = self._db.execute(
            "SELECT doc FROM objects WHERE kind = ? AND owner = ? ORDER BY seq DESC", (kind.__name__, owner)
        )
        return [kind.model_validate_json(row[0]) for row in rows]

    def payment_of(self, object_id: str) -> str | None:
        """The payment that an object belongs to; a payment belongs to itself."""
        row = self._db.execute("SELECT kind, owner FROM objects WHERE id = ?", (object_id,)).fetchone()
        if row is None:
            return None
        return object_id if row[0] == Payment.__name__ else row[1]

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{secrets.token_hex(12)}"

    # -- idempotency keys, calls, faults, effects, events ----------------------------------------------------------------

    def stored(self, key: str) -> Stored | None:
        row = self._db.execute(
            "SELECT fingerprint, status, body FROM keys WHERE key = ? AND at > ?", (key, self.now - KEY_RETENTION)
        ).fetchone()
        return Stored(row[0], row[1], json.loads(row[2])) if row else None

    def store(self, key: str, answer: Stored) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
            (key, answer.fingerprint, answer.status, json.dumps(answer.body), self.now),
        )

    def count_call(self, operation: str, payment: str | None) -> None:
        self._db.execute("INSERT INTO calls VALUES (?, ?)", (payment, operation))

    def calls(self, payment: str | None = None) -> dict[str, int]:
        """How often each operation was called, of one payment or of all."""
        rows = self._db.execute(
            "SELECT operation, count(*) FROM calls WHERE ? IS NULL OR payment = ? GROUP BY operation",
            (payment, payment),
        )
        return dict(rows.fetchall())

    def add_fault(self, fault: Fault) -> None:
        self._db.execute(
            "INSERT INTO faults (payment, operation, remaining, doc) VALUES (?, ?, ?, ?)",
            (fault.payment_intent, fault.operation, fault.times, fault.model_dump_json()),
        )

    def take_fault(self, operation: str, payment: str | None, *, replaying: bool) -> Fault | None:
        """The next fault that meets this call, counted off."""
        rows = self._db.execute(
            "SELECT seq, doc FROM faults WHERE operation = ? AND remaining > 0 AND (payment IS NULL OR payment = ?)"
            " ORDER BY seq",
            (operation, payment),
        )
        for seq, doc in rows.fetchall():
            fault = Fault.model_validate_json(doc)
            if fault.fault.on_the_way or not replaying:
                self._db.execute("UPDATE faults SET remaining = remaining - 1 WHERE seq = ?", (seq,))
                return fault
        return None

    def faults_left(self, payment: str) -> int:
        """How many times faults will still meet calls about this payment."""
        row = self._db.execute(
            "SELECT coalesce(sum(remaining), 0) FROM faults WHERE payment = ?", (payment,)
        ).fetchone()
        return int(row[0])

    def effects(self, payment: str | None = None) -> list[Effect]:
        rows = self._db.execute(
            "SELECT seq, doc FROM effects WHERE payment = coalesce(?, payment) ORDER BY seq", (payment,)
        )
        return [Effect.model_validate({"seq": seq, **json.loads(doc)}) for seq, doc in rows]

    def _effect(self, kind: EffectKind, call: Call | None, record: Payment | Refund | Dispute, amount: int) -> None:
        effect = Effect(
            seq=0,
            kind=kind,
            key=call.key if call else None,
            object_id=record.id,
            payment_id=record.id if isinstance(record, Payment) else record.payment,
            amount=amount,
            currency=record.currency,
            metadata={} if isinstance(record, Dispute) else record.metadata,
            at=self.now,
        )
        self._db.execute(
            "INSERT INTO effects (payment, doc) VALUES (?, ?)",
            (effect.payment_id, effect.model_dump_json(exclude={"seq"})),
        )

    def _event(self, kind: str, subject: Json, key: str | None = None) -> None:
        """Record an event. With webhooks on, every second one is delivered twice and every third one late, so that they
        arrive repeated and out of order; the seed says which."""
        body = {
            "id": self._new_id("evt"),
            "object": "event",
            "api_version": None,
            "created": int(self.now),
            "data": {"object": subject},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": key},
            "type": kind,
        }
        number = self._db.execute(
            "INSERT INTO events (id, type, body) VALUES (?, ?, ?)", (body["id"], kind, json.dumps(body))
        ).lastrowid
        if not self._webhooks or number is None:
            return
        turn = number + self._seed
        late = 0.3 if turn % 3 == 0 else 0.0
        for delay in (late, 0.2) if turn % 2 == 0 else (late,):
            self._db.execute("INSERT INTO deliveries (event, not_before) VALUES (?, ?)", (number, time.time() + delay))

    def list_events(self, call: Call) -> Json:
        """Whole events, as their webhooks have them."""
        wanted = [*call.params.get("types", {}).values()]
        if len(wanted) > MOST_TYPES:
            raise ApiError(400, f"You may only specify up to {MOST_TYPES} event types.", param="types")
        created = call.params.get("created", {})
        rows = self._db.execute("SELECT body FROM events ORDER BY seq DESC").fetchall()
        bodies = [json.loads(body) for (body,) in rows]
        oldest = _whole(created, "gte") if created else 0
        events = [
            Event(id=body["id"], created=body["created"], body=body)
            for body in bodies
            if body["created"] >= oldest and (not wanted or body["type"] in wanted)
        ]
        return _page(call.params, events, lambda event: event.body, "/v1/events")

    def due_deliveries(self) -> list[tuple[int, int, str]]:
        """Delivery, attempts so far, body; oldest due first."""
        return self._db.execute(
            "SELECT d.seq, d.attempts, e.body FROM deliveries d JOIN events e ON e.seq = d.event"
            " WHERE NOT d.delivered AND d.not_before <= ? ORDER BY d.not_before LIMIT 50",
            (time.time(),),
        ).fetchall()

    def delivered(self, delivery: int) -> None:
        self._db.execute("UPDATE deliveries SET delivered = 1 WHERE seq = ?", (delivery,))

    def deliver_later(self, delivery: int, seconds: float) -> None:
        self._db.execute(
            "UPDATE deliveries SET attempts = attempts + 1, not_before = ? WHERE seq = ?",
            (time.time() + seconds, delivery),
        )

    # -- payments ------------------------------------------------------------------------------------------------------

    def create_customer(self, call: Call) -> Json:
        customer = Customer(id=self._new_id("cus"), created=self.now, metadata=dict(call.params.get("metadata", {})))
        self._save(customer)
        return {
            "id": customer.id,
            "object": "customer",
            "created": int(customer.created),
            "metadata": customer.metadata,
        }

    def create_payment(self, call: Call) -> Json:
        params = call.params
        currency = str(params.get("currency", ""))
        try:
            exponent(currency.upper())
        except ValueError:
            raise ApiError(400, f"Invalid currency: {currency}", param="currency", stored=False) from None
        customer = params.get("customer")
        if customer:
            self._get(Customer, customer, "customer")
        metadata = dict(params.get("metadata", {}))
        payment = Payment(
            id=self._new_id("pi"),
            created=self.now,
            amount=_positive(params, "amount"),
            currency=currency,
            status="requires_payment_method",
            manual=params.get("capture_method") == "manual",
            multicapture=params.get("payment_method_options", {}).get("card", {}).get("request_multicapture")
            == "if_available",
            payment_method=None,
            card=None,
            customer=customer,
            setup_future_usage=params.get("setup_future_usage"),
            metadata=metadata,
        )
        for fault in _faults_in(metadata.get("sandbox_fault", ""), payment.id):
            self.add_fault(fault)
        if params.get("payment_method"):
            method = self._payment_method(params["payment_method"], payment)
            payment.payment_method, payment.card, payment.status = method.id, method.card, "requires_confirmation"
        if params.get("confirm") == "true":
            self._authorise(call, payment)
        self._save(payment)
        return self._render_payment(payment, call.expanded)

    def _payment_method(self, given: str, payment: Payment) -> PaymentMethod:
        """A test card by its name, which makes a payment method of its own, or a saved one of the same customer."""
        if given in CARDS:
            saved_for = payment.customer if payment.setup_future_usage else None
            method = PaymentMethod(id=self._new_id("pm"), created=self.now, card=given, customer=saved_for)
            self._save(method)
            return method
        method = self._get(PaymentMethod, given, "PaymentMethod")
        if method.customer is None or method.customer != payment.customer:
            raise ApiError(
                400, "This PaymentMethod was used without being attached to the Customer and may not be used again."
            )
        return method

    def _authorise(self, call: Call, payment: Payment) -> None:
        if payment.card is None:
            raise ApiError(400, "You cannot confirm this PaymentIntent: it has no payment method.", stored=False)
        if payment.card in DECLINES or call.fault is FaultKind.REFUSE:
            code, decline_code = DECLINES.get(payment.card, ("card_declined", "generic_decline"))
            raise ApiError(402, "Your card was declined.", kind="card_error", code=code, decline_code=decline_code)
        payment.charge = self._new_id("ch")
        payment.status, payment.capturable = "requires_capture", payment.amount
        payment.expires_at = self.now + AUTHORISATION_LASTS
        self._effect(EffectKind.PAYMENT_AUTHORISED, call, payment, payment.amount)
        if not payment.manual:
            self._capture(call, payment, payment.amount, final=True)

    def capture_payment(self, call: Call) -> Json:
        payment = self._get(Payment, call.object_id, "payment_intent")
        if call.fault is FaultKind.EXPIRE:
            self._expire(payment)
        self._expect(payment, "captured", "requires_capture")
        final = call.params.get("final_capture", "true") == "true"
        if not final and not payment.multicapture:
            raise ApiError(400, "This PaymentIntent does not support multiple captures.", param="final_capture")
        amount = _whole(call.params, "amount_to_capture") if "amount_to_capture" in call.params else payment.capturable
        if amount > payment.capturable:
            raise ApiError(
                400,
                "The amount to capture is larger than what can be captured.",
                code="amount_too_large",
                param="amount_to_capture",
            )
        if amount == 0 and not (final and payment.captured):
            raise ApiError(400, "The amount to capture must be at least 1.", param="amount_to_capture")
        self._capture(call, payment, amount, final=final)
        self._save(payment)
        return self._render_payment(payment, call.expanded)

    def capture_begins(self, payment_id: str) -> Json:
        """The merchant captures all that is reserved, and the payment method takes its time."""
        payment = self._get(Payment, payment_id, "payment_intent")
        self._expect(payment, "captured", "requires_capture")
        payment.status, payment.capturable = "processing", 0
        self._save(payment)
        return self._render_payment(payment)

    def capture_ends(self, payment_id: str) -> Json:
        payment = self._get(Payment, payment_id, "payment_intent")
        self._expect(payment, "captured", "processing")
        payment.capturable = payment.amount - payment.captured
        self._capture(Call(params={}), payment, payment.capturable, final=True)
        self._save(payment)
        return self._render_payment(payment)

    def _capture(self, call: Call, payment: Payment, amount: int, *, final: bool) -> None:
        payment.captured += amount
        payment.capturable -= amount
        if amount:
            self._effect(EffectKind.PAYMENT_CAPTURED, call, payment, amount)
        if final and payment.capturable:
            self._effect(EffectKind.PAYMENT_VOIDED, call, payment, payment.capturable)
            self._release(payment, reason=None)
        if final or not payment.capturable:
            payment.status = "succeeded"
        if payment.card == "pm_card_createDispute" and not self._owned(Dispute, payment.id):
            self._open_dispute(payment, "needs_response")

    def _release(self, payment: Payment, *, reason: str | None) -> None:
        """End what is still reserved. Stripe lists that as a refund too, except after several captures."""
        if not payment.multicapture and payment.charge:
            self._save(
                Refund(
                    id=self._new_id("re"),
                    created=self.now,
                    payment=payment.id,
                    charge=payment.charge,
                    amount=payment.capturable,
                    currency=payment.currency,
                    status="succeeded",
                    metadata={},
                    reason=reason,
                    release=True,
                )
            )
        payment.capturable = 0

    def cancel_payment(self, call: Call) -> Json:
        payment = self._get(Payment, call.object_id, "payment_intent")
        if call.fault is FaultKind.EXPIRE:
            self._expire(payment)
        cancellable = {"requires_payment_method", "requires_confirmation", "requires_capture"}
        if payment.captured or payment.status not in cancellable:
            self._refuse_state(payment, "canceled", "nothing of it is captured and it is not finished")
        if payment.capturable:
            self._effect(EffectKind.PAYMENT_VOIDED, call, payment, payment.capturable)
            self._release(payment, reason=None)
        payment.status, payment.canceled_at = "canceled", self.now
        payment.cancellation_reason = call.params.get("cancellation_reason")
        self._save(payment)
        return self._render_payment(payment, call.expanded)

    def _expire(self, payment: Payment) -> None:
        """What was never captured is cancelled, what was captured in part has succeeded."""
        self._release(payment, reason="expired_uncaptured_charge")
        payment.status = "succeeded" if payment.captured else "canceled"
        if not payment.captured:
            payment.canceled_at, payment.cancellation_reason = self.now, "automatic"
        self._save(payment)

    def _expect(self, payment: Payment, verb: str, status: str) -> None:
        if payment.status != status:
            self._refuse_state(payment, verb, f"its status is {status}")

    def _refuse_state(self, payment: Payment, verb: str, when: str) -> None:
        raise ApiError(
            400,
            f"This PaymentIntent could not be {verb} because it has a status of {payment.status}; that is possible when "
            f"{when}.",
            code="payment_intent_unexpected_state",
        )

    def read_payment(self, call: Call) -> Json:
        return self._render_payment(self._get(Payment, call.object_id, "payment_intent"), call.expanded)

    def list_payments(self, call: Call) -> Json:
        records = self._owned(Payment, str(call.params.get("customer", "")))
        return _page(
            call.params,
            records,
            lambda payment: self._render_payment(payment, call.expanded.each),
            "/v1/payment_intents",
        )

    def read_charge(self, call: Call) -> Json:
        row = self._db.execute(
            "SELECT doc FROM objects WHERE kind = 'Payment' AND json_extract(doc, '$.charge') = ?", (call.object_id,)
        ).fetchone()
        if row is None:
            raise ApiError(404, f"No such charge: '{call.object_id}'", code="resource_missing", param="charge")
        return self._render_charge(Payment.model_validate_json(row[0]), call.expanded)

    # -- refunds -------------------------------------------------------------------------------------------------------

    def create_refund(self, call: Call) -> Json:
        params = call.params
        payment = self._get(Payment, str(params.get("payment_intent", "")), "payment_intent")
        if not payment.captured or payment.charge is None:
            self._refuse_state(payment, "refunded", "something of it was captured")
        assert payment.charge is not None
        if any(dispute.status not in {"won", "warning_closed"} for dispute in self._owned(Dispute, payment.id)):
            raise ApiError(400, "The charge has been charged back.", code="charge_disputed")
        refunds = self._owned(Refund, payment.id)
        left = payment.captured - sum(refund.amount for refund in refunds if refund.counts and not refund.release)
        if left == 0:
            raise ApiError(400, "The charge has already been refunded.", code="charge_already_refunded")
        amount = _positive(params, "amount") if "amount" in params else left
        if amount > left:
            raise ApiError(
                400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
            )
        if call.fault is FaultKind.REFUSE:
            raise ApiError(402, "Your card has expired.", kind="card_error", code="expired_card")
        refund = Refund(
            id=self._new_id("re"),
            created=self.now,
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
            refund.becomes, refund.changes_at = "succeeded", self.now + self._settle_seconds
        elif payment.card == "pm_card_refundFail":
            refund.becomes, refund.changes_at = "failed", self.now + self._settle_seconds
        self._save(refund)
        self._effect(EffectKind.REFUND_CREATED, call, refund, amount)
        if refund.status == "succeeded":
            self._effect(EffectKind.REFUND_SETTLED, call, refund, amount)
        self._event("refund.created", self._render_refund(refund), call.key)
        self._event("charge.refunded", self._render_charge(payment), call.key)
        return self._render_refund(refund, call.expanded)

    def _change_refund(self, refund: Refund, status: str, call: Call | None = None) -> None:
        refund.status, refund.changes_at, refund.becomes, refund.pending_reason = status, None, None, None
        if status == "failed":
            refund.failure_reason = "expired_or_canceled_card"
        self._save(refund)
        effect = {
            "succeeded": EffectKind.REFUND_SETTLED,
            "failed": EffectKind.REFUND_FAILED,
            "canceled": EffectKind.REFUND_CANCELED,
        }[status]
        self._effect(effect, call, refund, refund.amount)
        self._event("refund.updated", self._render_refund(refund), call.key if call else None)
        if status == "failed":
            self._event("refund.failed", self._render_refund(refund))

    def cancel_refund(self, call: Call) -> Json:
        refund = self._get(Refund, call.object_id, "refund")
        if refund.status != "requires_action":
            raise ApiError(400, f"A refund with status {refund.status} cannot be canceled.")
        self._change_refund(refund, "canceled", call)
        return self._render_refund(refund, call.expanded)

    def read_refund(self, call: Call) -> Json:
        return self._render_refund(self._get(Refund, call.object_id, "refund"), call.expanded)

    def list_refunds(self, call: Call) -> Json:
        payment = self._get(Payment, str(call.params.get("payment_intent", "")), "payment_intent")
        return _page(
            call.params,
            self._owned(Refund, payment.id),
            lambda refund: self._render_refund(refund, call.expanded.each),
            "/v1/refunds",
        )

    def end_refund(self, refund_id: str, status: str) -> Json:
        """The bank's answer, by hand. A refund that succeeded can still fail."""
        refund = self._get(Refund, refund_id, "refund")
        if not refund.counts or refund.release or refund.status == status:
            raise ApiError(400, f"A refund with status {refund.status} cannot become {status}.")
        self._change_refund(refund, status)
        return self._render_refund(refund)

    # -- disputes ------------------------------------------------------------------------------------------------------

    def _open_dispute(self, payment: Payment, status: str) -> Dispute:
        assert payment.charge is not None
        dispute = Dispute(
            id=self._new_id("dp"),
            created=self.now,
            payment=payment.id,
            charge=payment.charge,
            amount=payment.captured,
            currency=payment.currency,
            status=status,
        )
        self._save(dispute)
        self._effect(EffectKind.DISPUTE_CREATED, None, dispute, dispute.amount)
        self._event("charge.dispute.created", self._render_dispute(dispute))
        return dispute

    def dispute(self, payment_id: str, status: str) -> Json:
        """Open a dispute, or let the bank decide the one that is open."""
        payment = self._get(Payment, payment_id, "payment_intent")
        if not payment.captured:
            raise ApiError(400, "Only a captured payment can be disputed.")
        known = self._owned(Dispute, payment.id)
        if known:
            dispute = known[0]
            dispute.status = status
            self._save(dispute)
            self._event("charge.dispute.updated", self._render_dispute(dispute))
        else:
            dispute = self._open_dispute(payment, status)
        return self._render_dispute(dispute)

    def list_disputes(self, call: Call) -> Json:
        payment = self._get(Payment, str(call.params.get("payment_intent", "")), "payment_intent")
        return _page(call.params, self._owned(Dispute, payment.id), self._render_dispute, "/v1/disputes")

    # -- Stripe's JSON -------------------------------------------------------------------------------------------------

    def _render_payment(self, payment: Payment, expanded: Expanded = NOTHING) -> Json:
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
            "created": int(payment.created),
            "currency": payment.currency,
            "customer": payment.customer,
            "latest_charge": payment.charge
            if charge is None or payment.charge is None
            else self._render_charge(payment, charge),
            "livemode": False,
            "metadata": payment.metadata,
            "payment_method": payment.payment_method,
            "payment_method_types": ["card"],
            "setup_future_usage": payment.setup_future_usage,
            "status": payment.status,
        }

    def _render_charge(self, payment: Payment, expanded: Expanded = NOTHING) -> Json:
        """Without its refunds, unless they are asked for: then with the newest ten."""
        refunds = self._owned(Refund, payment.id)
        refunded = sum(refund.amount for refund in refunds if refund.counts)
        shown: Json = {}
        if (listed := expanded.get("refunds")) is not None:
            url = f"/v1/charges/{payment.charge}/refunds"
            shown["refunds"] = _page({}, refunds, lambda refund: self._render_refund(refund, listed.each), url)
        intent = expanded.get("payment_intent")
        return {
            "id": payment.charge,
            "object": "charge",
            "amount": payment.amount,
            "amount_captured": payment.captured,
            "amount_refunded": refunded,
            "captured": payment.captured > 0,
            "created": int(payment.created),
            "currency": payment.currency,
            "customer": payment.customer,
            "disputed": bool(self._owned(Dispute, payment.id)),
            "livemode": False,
            "metadata": payment.metadata,
            "paid": True,
            "payment_intent": payment.id if intent is None else self._render_payment(payment, intent),
            "payment_method": payment.payment_method,
            "refunded": refunded == payment.amount,
            "status": "succeeded",
            **shown,
        }

    def _render_refund(self, refund: Refund, expanded: Expanded = NOTHING) -> Json:
        moved = refund.status in {"succeeded", "failed"} and not refund.release
        payment = self._get(Payment, refund.payment, "payment_intent")
        charge, intent = expanded.get("charge"), expanded.get("payment_intent")
        return {
            "id": refund.id,
            "object": "refund",
            "amount": refund.amount,
            "balance_transaction": refund.id.replace("re_", "txn_") if moved else None,
            "charge": refund.charge if charge is None else self._render_charge(payment, charge),
            "created": int(refund.created),
            "currency": refund.currency,
            "failure_reason": refund.failure_reason,
            "metadata": refund.metadata,
            "payment_intent": refund.payment if intent is None else self._render_payment(payment, intent),
            "pending_reason": refund.pending_reason,
            "reason": refund.reason,
            "status": refund.status,
        }

    def _render_dispute(self, dispute: Dispute) -> Json:
        return {
            "id": dispute.id,
            "object": "dispute",
            "amount": dispute.amount,
            "charge": dispute.charge,
            "created": int(dispute.created),
            "currency": dispute.currency,
            "livemode": False,
            "metadata": {},
            "payment_intent": dispute.payment,
            "reason": "fraudulent",
            "status": dispute.status,
        }


def _whole(params: Mapping[str, Any], name: str) -> int:
    text = str(params.get(name, ""))
    if not text.isascii() or not text.isdigit():
        raise ApiError(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=name, stored=False)
    return int(text)


def _positive(params: Mapping[str, Any], name: str) -> int:
    number = _whole(params, name)
    if number < 1:
        raise ApiError(
            400,
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param=name,
            stored=False,
        )
    return number


def _page(params: Mapping[str, Any], records: list[AnyRecord], render: Callable[[AnyRecord], Json], url: str) -> Json:
    """A page of a list, newest first, after the object that `starting_after` names."""
    limit = min(_positive(params, "limit"), 100) if "limit" in params else 10
    if "starting_after" in params:
        ids = [record.id for record in records]
        if params["starting_after"] not in ids:
            raise ApiError(400, "No such object", code="resource_missing", param="starting_after")
        records = records[ids.index(params["starting_after"]) + 1 :]
    return {
        "object": "list",
        "url": url,
        "has_more": len(records) > limit,
        "data": [render(record) for record in records[:limit]],
    }


def _faults_in(text: str, payment: str) -> Iterator[Fault]:
    """`refund.create:http_429*2, payment_intent.cancel:expire`: the metadata that sends faults to one payment."""
    for item in filter(None, (part.strip() for part in text.split(","))):
        operation, _, what = item.partition(":")
        kind, _, times = what.partition("*")
        if kind not in list(FaultKind) or not (times or "1").isdigit():
            raise ApiError(400, f"Not a sandbox fault: {item}", param="metadata[sandbox_fault]", stored=False)
        yield Fault(operation=operation, fault=FaultKind(kind), times=int(times or "1"), payment_intent=payment)
