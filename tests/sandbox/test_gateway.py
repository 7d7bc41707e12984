"""The gateway stand-in is as strict as Stripe: over plain HTTP, in Stripe's wire format."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import stripe

from domain.money import money
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import EffectKind, FaultKind
from sandbox.gateway.records import EventKind
from sandbox.gateway_admin import SANDBOX_KEY, GatewayAdmin, TestCard
from tests.fixtures.gateway import SETTLE_SECONDS, GatewaySandbox, gateway_process

TOTAL = money("52.35 USD")
SECRET = "whsec_sandbox"


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
async def http(gateway_sandbox: GatewaySandbox) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}"}
    async with httpx2.AsyncClient(base_url=gateway_sandbox.process.url, headers=headers, timeout=10) as client:
        yield client


async def refund(http: httpx2.AsyncClient, payment: str, amount: int | str = "", key: str = "") -> httpx2.Response:
    data = {"payment_intent": payment} | ({"amount": str(amount)} if amount else {})
    return await http.post("/v1/refunds", data=data, headers={"Idempotency-Key": key or uuid4().hex})


def error_of(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error.get("code") or error["type"], error.get("param")


async def test_only_a_test_key_is_let_in(http: httpx2.AsyncClient) -> None:
    for header in ("Bearer sk_live_anything", f"Basic {SANDBOX_KEY}", ""):
        answer = await http.get("/v1/refunds", headers={"Authorization": header})
        assert answer.status_code == 401


async def test_the_same_key_replays_the_stored_answer(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    first = await refund(http, payment, 100, "replay-" + payment)
    second = await refund(http, payment, 100, "replay-" + payment)

    assert first.json() == second.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(await admin.effects(payment, EffectKind.REFUND_CREATED)) == 1


async def test_a_500_is_stored_under_the_key_too(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:http_500_before")
    first = await refund(http, payment, key="broken-" + payment)
    second = await refund(http, payment, key="broken-" + payment)

    assert (first.status_code, second.status_code) == (500, 500)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (await refund(http, payment)).status_code == 200


async def test_the_same_key_with_other_parameters_is_an_error(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    await refund(http, payment, 100, "changed-" + payment)
    assert error_of(await refund(http, payment, 200, "changed-" + payment)) == (400, "idempotency_error", None)


async def test_a_key_in_use_is_a_conflict(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.add_fault("refund.create", FaultKind.SLOW, payment=payment, seconds=0.5)

    answers = await asyncio.gather(*(refund(http, payment, key="race-" + payment) for _ in range(2)))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    conflict = next(answer for answer in answers if answer.status_code == 409)
    assert error_of(conflict)[1] == "idempotency_key_in_use"


async def test_a_key_is_forgotten_after_a_day(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    """Why the effect is looked up first: the old key makes a new refund."""
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    first = await refund(http, payment, 100, "old-" + payment)
    await admin.advance(25 * 3600)
    assert (await refund(http, payment, 100, "old-" + payment)).json()["id"] != first.json()["id"]


async def test_no_more_than_the_captured_amount_is_refunded(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    assert error_of(await refund(http, payment, TOTAL.amount + 1)) == (400, "invalid_request_error", "amount")
    assert (await refund(http, payment)).json()["amount"] == TOTAL.amount
    assert error_of(await refund(http, payment, 1)) == (400, "charge_already_refunded", None)


@pytest.mark.parametrize("amount", ["0", "-5", "1.50", "many"])
async def test_amounts_are_whole_minor_units(http: httpx2.AsyncClient, admin: GatewayAdmin, amount: str) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    assert error_of(await refund(http, payment, amount)) == (400, "parameter_invalid_integer", "amount")


async def test_an_uncaptured_payment_is_voided_and_a_captured_one_refunded(
    http: httpx2.AsyncClient, admin: GatewayAdmin
) -> None:
    reserved = await admin.create_payment(TOTAL)
    assert error_of(await refund(http, reserved))[1] == "payment_intent_unexpected_state"

    for taken in (TOTAL, money("10 USD")):
        payment = await admin.create_payment(TOTAL, capture=taken)
        cancelled = await http.post(f"/v1/payment_intents/{payment}/cancel")
        assert error_of(cancelled)[1] == "payment_intent_unexpected_state"


async def test_a_disputed_charge_is_not_refunded(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, TestCard.DISPUTED, capture=TOTAL)
    assert error_of(await refund(http, payment))[1] == "charge_disputed"


async def test_an_authorisation_expires_after_a_week(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL)
    await admin.advance(8 * 24 * 3600)

    read = (await http.get(f"/v1/payment_intents/{payment}", params={"expand[]": "latest_charge"})).json()

    assert (read["status"], read["cancellation_reason"], read["amount_capturable"]) == ("canceled", "automatic", 0)
    assert read["latest_charge"]["amount_captured"] == 0
    assert error_of(await http.post(f"/v1/payment_intents/{payment}/cancel"))[1] == "payment_intent_unexpected_state"


async def test_unknown_parameters_objects_and_cards_are_refused(http: httpx2.AsyncClient) -> None:
    assert error_of(await http.post("/v1/refunds", data={"order": "1"})) == (400, "parameter_unknown", "order")
    missing = await http.get("/v1/charges/ch_unknown")
    assert error_of(missing) == (404, "resource_missing", "charge")
    payment = {"amount": "100", "currency": "usd", "payment_method": "pm_card_unheardOf", "confirm": "true"}
    assert error_of(await http.post("/v1/payment_intents", data=payment))[0] == 404


async def test_what_is_expanded_is_the_state_after_the_call(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    earlier = [await admin.refund_elsewhere(payment, money("1.00 USD")) for _ in range(10)]
    asked = {"payment_intent": payment, "amount": "200", "expand[]": "payment_intent.latest_charge.refunds"}
    made = (await http.post("/v1/refunds", data=asked)).json()

    charge = made["payment_intent"]["latest_charge"]
    assert charge["amount_refunded"] == 1200
    assert [shown["id"] for shown in charge["refunds"]["data"]] == [made["id"], *reversed(earlier[1:])]
    assert (charge["refunds"]["has_more"], charge["refunds"]["url"]) == (True, f"/v1/charges/{charge['id']}/refunds")
    plain = (await http.get(f"/v1/charges/{charge['id']}")).json()
    assert "refunds" not in plain
    assert plain["payment_intent"] == payment


async def test_expanded_objects_of_a_list_are_named_by_data(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    made = await admin.refund_elsewhere(payment, TOTAL)
    listed = await http.get("/v1/refunds", params={"payment_intent": payment, "expand[0]": "data.charge"})
    assert [(refund["id"], refund["charge"]["amount_refunded"]) for refund in listed.json()["data"]] == [
        (made, TOTAL.amount)
    ]
    wrong = (await http.get("/v1/refunds", params={"payment_intent": payment, "expand[]": "charge"})).json()["error"]
    assert wrong["message"] == (
        "This property cannot be expanded (charge). You may want to try expanding 'data.charge' instead."
    )


@pytest.mark.parametrize(
    ("expand", "message"),
    [
        ("metadata", "This property cannot be expanded (metadata)."),
        ("latest_charge.amount", "This property cannot be expanded (latest_charge.amount)."),
        ("latest_charge.refunds.charge", "This property cannot be expanded (latest_charge.refunds.charge)."),
        ("latest_charge.refunds.data", "This property cannot be expanded (latest_charge.refunds.data)."),
        ("data.latest_charge", "This property cannot be expanded (data)."),
        ("latest_charge.refunds.data.charge.refunds", "You cannot expand more than 4 levels of a property."),
    ],
)
async def test_what_cannot_be_expanded_is_refused_and_nothing_is_done(
    http: httpx2.AsyncClient, admin: GatewayAdmin, expand: str, message: str
) -> None:
    payment = await admin.create_payment(TOTAL)
    url, key = f"/v1/payment_intents/{payment}/cancel", {"Idempotency-Key": uuid4().hex}
    refused = await http.post(url, data={"expand[]": expand}, headers=key)
    assert (error_of(refused), refused.json()["error"]["message"]) == ((400, "invalid_request_error", None), message)
    assert error_of(await http.post(url, data={"expand": "latest_charge"}))[2] == "expand"
    assert await admin.effects(payment, EffectKind.PAYMENT_VOIDED) == []
    done = await http.post(url, data={"expand[]": "latest_charge"}, headers=key)
    assert (done.json()["status"], done.json()["latest_charge"]["amount_refunded"]) == ("canceled", TOTAL.amount)


async def test_a_saved_card_may_be_used_for_its_customer_only(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL)
    method = (await http.get(f"/v1/payment_intents/{payment}")).json()["payment_method"]
    again = {"amount": "100", "currency": "usd", "payment_method": method, "confirm": "true", "off_session": "true"}
    assert (await http.post("/v1/payment_intents", data=again)).status_code == 400


async def test_events_are_listed_whole_newest_first_by_kind_and_time_also_without_a_webhook(
    http: httpx2.AsyncClient, admin: GatewayAdmin
) -> None:
    async def listed(**params: str | int) -> dict[str, Any]:
        kinds = {"types[0]": EventKind.REFUND_CREATED, "types[1]": EventKind.CHARGE_REFUNDED}
        return dict((await http.get("/v1/events", params={**kinds, **params})).json())

    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    refunds = [await admin.refund_elsewhere(payment, money("1.00 USD")) for _ in range(2)]
    await admin.fail(refunds[-1])
    first = await listed(limit=3)
    assert (first["object"], first["url"], first["has_more"]) == ("list", "/v1/events", True)
    assert [event["type"] for event in first["data"]] == [
        EventKind.CHARGE_REFUNDED,
        EventKind.REFUND_CREATED,
        EventKind.CHARGE_REFUNDED,
    ]
    assert first["data"][1]["data"]["object"]["id"] == refunds[1]
    rest = await listed(limit=1, starting_after=first["data"][-1]["id"])
    assert rest["data"][0]["data"]["object"]["id"] == refunds[0]
    later = {"created[gte]": first["data"][0]["created"] + 3600}
    assert (await listed(**later))["data"] == []
    many = {f"types[{n}]": EventKind.REFUND_CREATED for n in range(21)}
    assert error_of(await http.get("/v1/events", params=many)) == (400, "invalid_request_error", "types")


async def test_a_dropped_connection_has_no_answer(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    for fault, effects in ((FaultKind.DROP_BEFORE_COMMIT, 0), (FaultKind.DROP_AFTER_COMMIT, 1)):
        await admin.add_fault("refund.create", fault, payment=payment)
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await refund(http, payment, 100, "dropped-" + payment)
        assert len(await admin.effects(payment, EffectKind.REFUND_CREATED)) == effects


async def test_a_fault_begins_after_some_calls(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    await admin.add_fault("refund.create", FaultKind.HTTP_429, payment=payment, times=2, after=1)
    assert [(await refund(http, payment, 100)).status_code for _ in range(4)] == [200, 429, 429, 200]
    assert await admin.faults_left(payment) == 0


async def test_what_a_customer_did_before_is_about_their_first_payment(
    http: httpx2.AsyncClient, admin: GatewayAdmin
) -> None:
    """A payment that is to replace it, and the search for one."""
    payment = await admin.create_payment(TOTAL, capture=TOTAL, mandate=True)
    found = (await http.get(f"/v1/payment_intents/{payment}")).json()
    await admin.add_fault("payment_intent.list", FaultKind.HTTP_429, payment=payment)
    answer = await http.get("/v1/payment_intents", params={"customer": found["customer"]})
    assert answer.status_code == 429
    assert (await admin.calls(payment))["payment_intent.list"] == 1


@pytest.mark.parametrize("statuses", [("needs_response", "lost", "lost"), ("lost",), ("prevented",)])
async def test_a_dispute_that_is_lost_has_given_the_money_back(admin: GatewayAdmin, statuses: tuple[str, ...]) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    for status in statuses:
        await admin.dispute(payment, status)
    [lost] = await admin.effects(payment, EffectKind.DISPUTE_LOST)
    [captured] = await admin.effects(payment, EffectKind.PAYMENT_CAPTURED)
    assert lost.amount == captured.amount


async def test_a_dispute_about_a_part_that_is_won_on_appeal_has_taken_the_money_back(admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL)
    part = money("20.00 USD")
    await admin.dispute(payment, amount=part)
    for status in ("lost", "won", "won"):
        await admin.dispute(payment, status)
    moved = (EffectKind.DISPUTE_LOST, EffectKind.DISPUTE_REINSTATED)
    found = [effect for effect in await admin.effects(payment) if effect.kind in moved]
    assert [(effect.kind, effect.amount) for effect in found] == [(kind, 2000) for kind in moved]


async def test_calls_are_counted_by_operation_for_a_payment_and_in_all(
    http: httpx2.AsyncClient, admin: GatewayAdmin
) -> None:
    before = await admin.calls()
    payment = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:drop_before_commit")
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await refund(http, payment, 100)
    made = (await refund(http, payment, 100)).json()["id"]
    await http.get(f"/v1/refunds/{made}")
    await http.get("/v1/refunds", params={"payment_intent": payment})

    calls = await admin.calls(payment)

    assert calls == {"payment_intent.capture": 1, "refund.create": 2, "refund.retrieve": 1, "refund.list": 1}
    assert (await admin.calls())["payment_intent.create"] == before.get("payment_intent.create", 0) + 1


async def test_faults_are_counted_off(http: httpx2.AsyncClient, admin: GatewayAdmin) -> None:
    payment = await admin.create_payment(TOTAL, capture=TOTAL, sandbox_fault="refund.create:http_429*2")
    answers = [await refund(http, payment, 100, "busy-" + payment) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "1"


async def test_a_killed_process_forgets_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """D7, at the gateway: killed between its commit and its answer's arrival."""
    process = gateway_process(tmp_path_factory).start()
    admin, adapter = GatewayAdmin(process.url), StripeGateway(SANDBOX_KEY, process.url)
    try:
        payment = await admin.create_payment(TOTAL, TestCard.PENDING_REFUND, capture=TOTAL)
        await admin.add_fault("refund.create", FaultKind.HTTP_429, payment=payment, times=3)
        await admin.advance(3600)
        refunded = await admin.refund_elsewhere(await admin.create_payment(TOTAL, capture=TOTAL), TOTAL)
        effects = await admin.effects()
        port = process.url.rsplit(":", 1)[1]

        process.kill()
        process.argv = [*process.argv, "--port", port]
        process.start()

        assert await admin.effects() == effects
        assert (await adapter.read_refund(refunded)).amount == TOTAL
        async with httpx2.AsyncClient(
            base_url=process.url, headers={"Authorization": f"Bearer {SANDBOX_KEY}"}
        ) as client:
            answers = [await refund(client, payment, key="after") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [429, 429, 429, 200]
        await admin.advance(SETTLE_SECONDS)
        assert (await admin.effects(payment))[-1].kind is EffectKind.REFUND_SETTLED
    finally:
        await adapter.aclose()
        await admin.aclose()
        process.stop()


Delivery = tuple[str, bytes]


@contextmanager
def receiver(deliveries: list[Delivery]) -> Iterator[str]:
    """An address that refuses the first delivery and keeps the others: signature and body."""

    class Handler(BaseHTTPRequestHandler):
        refused = False

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not Handler.refused:
                Handler.refused = True
                self.send_response(503)
            else:
                deliveries.append((self.headers["Stripe-Signature"], body))
                self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_webhooks_are_signed_repeated_out_of_order_and_never_lost(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    deliveries: list[Delivery] = []
    with receiver(deliveries) as url:
        process = gateway_process(tmp_path_factory, "--webhook-url", url).start()
        try:
            async with GatewayAdmin(process.url) as admin:
                payment = await admin.create_payment(TOTAL, capture=TOTAL)
                await admin.fail(await admin.refund_elsewhere(payment, TOTAL))
                await admin.dispute(payment)
                await admin.refund_elsewhere(await admin.create_payment(TOTAL, capture=TOTAL), TOTAL)
            async with asyncio.timeout(30):
                while len(deliveries) < 13:  # noqa: ASYNC110 - nine events, four of them twice
                    await asyncio.sleep(0.05)
        finally:
            process.stop()

    events = []
    for signature, body in deliveries:
        stripe.WebhookSignature.verify_header(body, signature, SECRET, 300)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(body, signature, "whsec_other", 300)
        events.append(json.loads(body))
    kinds = {event["type"] for event in events}
    assert kinds >= {
        EventKind.REFUND_UPDATED,
        EventKind.REFUND_FAILED,
        EventKind.CHARGE_REFUNDED,
        EventKind.DISPUTE_CREATED,
    }
    first_seen = list(dict.fromkeys(event["id"] for event in events))
    assert len(first_seen) == 9
    assert len(events) > len(first_seen)
    named = [event["type"] for event in events]
    assert named.index(EventKind.REFUND_UPDATED) < named.index(EventKind.CHARGE_REFUNDED)


async def test_a_bank_debit_is_processed_and_may_fail_and_is_paid_another_way_then(
    http: httpx2.AsyncClient, admin: GatewayAdmin
) -> None:
    payment = await admin.create_debit(TOTAL)
    refused = await http.post(f"/v1/payment_intents/{payment}/cancel")
    assert error_of(refused) == (400, "payment_intent_unexpected_state", None)
    await admin.debit_fails(payment)
    failed = (await http.get(f"/v1/payment_intents/{payment}", params={"expand[]": "latest_charge"})).json()
    assert (failed["status"], failed["amount_received"]) == ("requires_payment_method", 0)
    assert (failed["latest_charge"]["status"], failed["latest_charge"]["paid"]) == ("failed", False)
    await admin.complete(payment)
    paid = (await http.get(f"/v1/payment_intents/{payment}")).json()
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 5235)
    kinds = {"types[0]": EventKind.PAYMENT_FAILED, "types[1]": EventKind.PAYMENT_SUCCEEDED}
    events = (await http.get("/v1/events", params=kinds)).json()["data"]
    assert [e["type"] for e in events if e["data"]["object"]["id"] == payment] == [
        EventKind.PAYMENT_SUCCEEDED,
        EventKind.PAYMENT_FAILED,
    ]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 400),
        ({"automatic_payment_methods[enabled]": "true"}, 400),
        ({"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"}, 200),
        ({"return_url": "https://shop.example/paid"}, 200),
    ],
    ids=["nothing", "any method", "no redirects", "somewhere to return to"],
)
async def test_a_payment_is_confirmed_only_where_no_redirect_can_get_lost(
    http: httpx2.AsyncClient, more: dict[str, str], status: int
) -> None:
    """F25: since API version 2023-08-16 (docs.stripe.com/changelog/2023-08-16/automatic-payment-methods)."""
    asked = {"amount": "100", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true", **more}
    answer = await http.post("/v1/payment_intents", data=asked, headers={"Idempotency-Key": uuid4().hex})
    assert answer.status_code == status
    if status == 400:
        assert error_of(answer)[2] == "return_url"
