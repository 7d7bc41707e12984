"""Payments: authorised, captured, released, expired; what Stripe allows with them."""

from collections.abc import Iterator
from typing import NoReturn

from domain.money import exponent
from sandbox.gateway.calls import Call, amount_of, page_of, whole_number
from sandbox.gateway.disputes import Disputes
from sandbox.gateway.errors import ApiError, Json
from sandbox.gateway.messages import EffectKind, Fault, FaultKind
from sandbox.gateway.records import (
    CARDS,
    DEBITS,
    DECLINES,
    Customer,
    Dispute,
    EventKind,
    Payment,
    PaymentMethod,
    Refund,
)
from sandbox.gateway.refusals import REFUSALS
from sandbox.gateway.rendering import Rendering
from sandbox.gateway.store import Store

AUTHORISATION_LASTS = 7 * 24 * 3600.0


class Payments:
    def __init__(self, store: Store, rendering: Rendering, disputes: Disputes) -> None:
        self._store = store
        self._rendering = rendering
        self._disputes = disputes

    def create_customer(self, call: Call) -> Json:
        customer = Customer(
            id=self._store.new_id("cus"), created=self._store.now, metadata=dict(call.params.get("metadata", {}))
        )
        self._store.save(customer)
        return {
            "id": customer.id,
            "object": "customer",
            "created": int(customer.created),
            "livemode": False,
            "metadata": customer.metadata,
        }

    def create(self, call: Call) -> Json:
        params = call.params
        currency = str(params.get("currency", ""))
        try:
            exponent(currency.upper())
        except ValueError:
            raise ApiError(400, f"Invalid currency: {currency}", param="currency", stored=False) from None
        customer = params.get("customer")
        if customer:
            self._store.get(Customer, customer, "customer")
        metadata = dict(params.get("metadata", {}))
        payment = Payment(
            id=self._store.new_id("pi"),
            created=self._store.now,
            amount=amount_of(params, "amount", currency),
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
            self._store.add_fault(fault)
        if params.get("payment_method"):
            method = self._method(params["payment_method"], payment)
            payment.payment_method, payment.card, payment.status = method.id, method.card, "requires_confirmation"
        if params.get("confirm") == "true":
            self._authorise(call, payment)
        self._store.save(payment)
        return self._rendering.payment(payment, call.expanded)

    def _method(self, given: str, payment: Payment) -> PaymentMethod:
        """A test card by its name, which makes a payment method of its own, or a saved one of the same customer."""
        if given in CARDS:
            saved_for = payment.customer if payment.setup_future_usage else None
            method = PaymentMethod(id=self._store.new_id("pm"), created=self._store.now, card=given, customer=saved_for)
            self._store.save(method)
            return method
        method = self._store.get(PaymentMethod, given, "PaymentMethod")
        if method.customer is None or method.customer != payment.customer:
            raise ApiError(
                400, "This PaymentMethod was used without being attached to the Customer and may not be used again."
            )
        return method

    def _authorise(self, call: Call, payment: Payment) -> None:
        if payment.card is None:
            raise ApiError(400, "You cannot confirm this PaymentIntent: it has no payment method.", stored=False)
        redirects = call.params.get("automatic_payment_methods", {}).get("allow_redirects", "always")
        if redirects != "never" and not call.params.get("return_url"):
            # Stripe lets `off_session` pass too by its changelog of 2023-08-16; this is stricter.
            raise ApiError(
                400,
                "To confirm this PaymentIntent, name a return_url, or allow no redirects by automatic_payment_methods.",
                param="return_url",
                stored=False,
            )
        if payment.card in DECLINES or call.fault is FaultKind.REFUSE:
            code, decline_code = DECLINES.get(payment.card, ("card_declined", "generic_decline"))
            raise ApiError(402, "Your card was declined.", kind="card_error", code=code, decline_code=decline_code)
        if payment.card == "pm_card_authenticationRequired":
            if call.params.get("off_session") == "true":
                raise ApiError(402, "The card wants its holder.", kind="card_error", code="authentication_required")
            payment.status = "requires_action"
            return
        if payment.card in DEBITS:
            if payment.manual:
                raise ApiError(400, "A bank debit cannot be captured manually.", param="capture_method")
            payment.charge, payment.status = self._store.new_id("ch"), "processing"
            return
        self._take(call, payment)

    def _take(self, call: Call, payment: Payment) -> None:
        payment.charge = self._store.new_id("ch")
        payment.status, payment.capturable = "requires_capture", payment.amount
        payment.expires_at = self._store.now + AUTHORISATION_LASTS
        self._store.add_effect(EffectKind.PAYMENT_AUTHORISED, call, payment, payment.amount)
        if not payment.manual:
            self._capture(call, payment, payment.amount, final=True)

    def capture(self, call: Call) -> Json:
        payment = self._store.get(Payment, call.object_id, "payment_intent")
        if call.fault is FaultKind.EXPIRE:
            self.expire(payment)
        self._expect(payment, "captured", "requires_capture")
        final = call.params.get("final_capture", "true") == "true"
        if not final and not payment.multicapture:
            raise ApiError(400, "This PaymentIntent does not support multiple captures.", param="final_capture")
        amount = self._amount_to_capture(call, payment) if "amount_to_capture" in call.params else payment.capturable
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
        self._store.save(payment)
        return self._rendering.payment(payment, call.expanded)

    def _amount_to_capture(self, call: Call, payment: Payment) -> int:
        name = "amount_to_capture"
        return amount_of(call.params, name, payment.currency) if whole_number(call.params, name) else 0

    def complete(self, payment_id: str) -> Json:
        """The customer names their card and its holder, where that is missing, and pays; one whose debit failed pays by a
        card."""
        payment = self._store.get(Payment, payment_id, "payment_intent")
        if not payment.open:
            refuse_state(payment, "confirmed", "it is open")
        self._take(Call(params={}), payment)
        self._store.save(payment)
        return self._rendering.payment(payment)

    def capture_begins(self, payment_id: str) -> Json:
        """The merchant captures all that is reserved, and the payment method takes its time."""
        payment = self._store.get(Payment, payment_id, "payment_intent")
        self._expect(payment, "captured", "requires_capture")
        payment.status, payment.capturable = "processing", 0
        self._store.save(payment)
        return self._rendering.payment(payment)

    def capture_ends(self, payment_id: str) -> Json:
        payment = self._store.get(Payment, payment_id, "payment_intent")
        self._expect(payment, "captured", "processing")
        payment.capturable = payment.amount - payment.captured
        self._capture(Call(params={}), payment, payment.capturable, final=True)
        self._store.save(payment)
        return self._rendering.payment(payment)

    def debit_fails(self, payment_id: str) -> Json:
        """The customer's bank returns the debit: nothing was taken, and they can pay another way."""
        payment = self._store.get(Payment, payment_id, "payment_intent")
        self._expect(payment, "failed", "processing")
        if payment.card not in DEBITS:
            refuse_state(payment, "failed", "it is a bank debit")
        payment.status, payment.payment_method, payment.card = "requires_payment_method", None, None
        self._store.save(payment)
        self._store.add_event(EventKind.PAYMENT_FAILED, self._rendering.payment(payment))
        return self._rendering.payment(payment)

    def _capture(self, call: Call, payment: Payment, amount: int, *, final: bool) -> None:
        payment.captured += amount
        payment.capturable -= amount
        if amount:
            self._store.add_effect(EffectKind.PAYMENT_CAPTURED, call, payment, amount)
        if final and payment.capturable:
            self._store.add_effect(EffectKind.PAYMENT_VOIDED, call, payment, payment.capturable)
            self._release(payment, reason=None)
        if final or not payment.capturable:
            payment.status = "succeeded"
            self._store.add_event(EventKind.PAYMENT_SUCCEEDED, self._rendering.payment(payment), call.key)
        if payment.card == "pm_card_createDispute" and not self._store.owned(Dispute, payment.id):
            self._disputes.open_dispute(payment, "needs_response")

    def _release(self, payment: Payment, *, reason: str | None) -> None:
        """End what is still reserved. Stripe lists that as a refund too, except after several captures."""
        if not payment.multicapture and payment.charge:
            self._store.save(
                Refund(
                    id=self._store.new_id("re"),
                    created=self._store.now,
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

    def cancel(self, call: Call) -> Json:
        payment = self._store.get(Payment, call.object_id, "payment_intent")
        if call.fault is FaultKind.EXPIRE:
            self.expire(payment)
        if call.fault is FaultKind.PAY:
            self._take(Call(params={}), payment)
            self._store.save(payment)
        if payment.captured or not (payment.open or payment.status == "requires_capture"):
            refuse_state(payment, "canceled", "nothing of it is captured and it is not finished")
        if payment.open:
            self._store.add_effect(EffectKind.PAYMENT_CLOSED, call, payment, payment.amount)
        if payment.capturable:
            self._store.add_effect(EffectKind.PAYMENT_VOIDED, call, payment, payment.capturable)
            self._release(payment, reason=None)
        payment.status, payment.canceled_at = "canceled", self._store.now
        payment.cancellation_reason = call.params.get("cancellation_reason")
        self._store.save(payment)
        return self._rendering.payment(payment, call.expanded)

    def expire(self, payment: Payment) -> None:
        """What was never captured is cancelled, what was captured in part has succeeded."""
        self._release(payment, reason="expired_uncaptured_charge")
        payment.status = "succeeded" if payment.captured else "canceled"
        if not payment.captured:
            payment.canceled_at, payment.cancellation_reason = self._store.now, "automatic"
        self._store.save(payment)

    def _expect(self, payment: Payment, verb: str, status: str) -> None:
        if payment.status != status:
            refuse_state(payment, verb, f"its status is {status}")

    def read(self, call: Call) -> Json:
        return self._rendering.payment(self._store.get(Payment, call.object_id, "payment_intent"), call.expanded)

    def list_(self, call: Call) -> Json:
        records = self._store.owned(Payment, str(call.params.get("customer", "")))
        return page_of(
            call.params,
            records,
            lambda payment: self._rendering.payment(payment, call.expanded.of_each),
            "/v1/payment_intents",
        )

    def read_charge(self, call: Call) -> Json:
        payment = self._store.payment_of_charge(call.object_id)
        if payment is None:
            raise ApiError(404, f"No such charge: '{call.object_id}'", code="resource_missing", param="charge")
        return self._rendering.charge(payment, call.expanded)


def refuse_state(payment: Payment, verb: str, when: str) -> NoReturn:
    raise ApiError(
        400,
        f"This PaymentIntent could not be {verb} because it has a status of {payment.status}; that is possible when "
        f"{when}.",
        code="payment_intent_unexpected_state",
    )


def _faults_in(text: str, payment: str) -> Iterator[Fault]:
    """`refund.create:http_429*2, refund.create:refuse=charge_disputed`: the metadata that sends faults to one payment."""
    for item in filter(None, (part.strip() for part in text.split(","))):
        operation, _, what = item.partition(":")
        named, _, times = what.partition("*")
        kind, _, code = named.partition("=")
        if kind not in list(FaultKind) or not (times or "1").isdigit() or code not in {"", *REFUSALS}:
            raise ApiError(400, f"Not a sandbox fault: {item}", param="metadata[sandbox_fault]", stored=False)
        fault = FaultKind(kind)
        yield Fault(
            operation=operation, fault=fault, times=int(times or "1"), payment_intent=payment, code=code or None
        )
