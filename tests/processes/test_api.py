"""api.py as a process of its own, between a client and a worker on the real parts."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from client.listing import SummaryPage
from client.status import Status
from domain.decision import Rule, Verdict
from domain.messages import Acknowledgement, Quote, Submission
from domain.money import money
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.gateway_admin import TestCard
from sandbox.shop import SampleOrder, card, line
from tests.fixtures.api import AGENT, SERVICE, SUPERVISOR, Api, ApiSystem
from tests.processes.asking import asked, expensive, problem, reached
from tests.system import eventually
from tests.workflows.samples import an_id, captured

# Asking


async def test_a_request_is_answered_with_the_decision_and_the_amounts_and_ends(
    api: Api, api_system: ApiSystem
) -> None:
    """B2"""
    sample = captured(total="52.35 USD")
    await api_system.system.shop.place_order(sample)
    started = await api.start(sample.order_id, asked(sample))
    assert started.status_code == 201, started.text
    assert started.headers["location"] == f"/orders/{sample.order_id}/cancellation"
    submission = Submission.model_validate_json(started.content)
    assert submission.decision is not None
    assert submission.decision.verdict is Verdict.APPROVED
    assert submission.plan is not None
    assert submission.plan.refund == money("52.35 USD")
    await reached(api, sample.order_id, State.CANCELLED)
    assert await api_system.system.refunds(sample.order_id) == [money("52.35 USD")]


async def test_the_same_request_gets_the_same_answer_and_its_result_once_it_is_over(
    api: Api, api_system: ApiSystem
) -> None:
    """A4: ten at once, and A3: again after the end."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    answers = await asyncio.gather(*(api.start(sample.order_id, asked(sample)) for _ in range(10)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    await api.steer(sample.order_id, "approve", {})
    await reached(api, sample.order_id, State.CANCELLED)
    again = await api.start(sample.order_id, asked(sample))
    assert again.status_code == 200
    answered = Submission.model_validate_json(again.content)
    assert answered.result is not None
    assert answered.result.outcome is Outcome.CANCELLED
    assert await api_system.system.refunds(sample.order_id) == [money("600.00 USD")]


async def test_another_request_joins_and_other_content_under_the_same_key_is_a_conflict(
    api: Api, api_system: ApiSystem
) -> None:
    """A4: while it runs and after its end."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    joined = await api.start(sample.order_id, asked(sample), request_id="req-2")
    assert (joined.status_code, Submission.model_validate_json(joined.content).joined) == (200, True)
    other = await api.start(sample.order_id, asked(sample, note="in blue"))
    assert "under a new request id" in problem(other, 422, "request_conflict")
    await api.steer(sample.order_id, "approve", {})
    await reached(api, sample.order_id, State.CANCELLED)
    late = await api.start(sample.order_id, asked(sample, note="in blue"))
    assert problem(late, 422, "request_conflict") == problem(other, 422, "request_conflict")


async def test_an_unknown_order_and_somebody_elses_get_one_answer(api: Api, api_system: ApiSystem) -> None:
    """A1"""
    sample = captured()
    await api_system.system.shop.place_order(sample)
    stranger = {"customer_id": "C-other", "reason": "no_longer_needed"}
    others = await api.start(sample.order_id, stranger)
    unknown = await api.start("O-none", stranger)
    sentence = problem(unknown, 404, "order_not_found")
    assert problem(others, 404, "order_not_found") == sentence.replace("O-none", sample.order_id)
    assert "start one" not in problem(await api.get("/orders/O-never/cancellation"), 404, "no_cancellation")


async def test_a_quote_tells_the_amounts_and_does_nothing(api: Api, api_system: ApiSystem) -> None:
    """The same decision and plan as the request gets afterwards; a stranger's is like that of an unknown order."""
    sample = captured()
    await api_system.system.shop.place_order(sample)
    where = f"/orders/{sample.order_id}/cancellation"
    answer = await api.post(f"{where}/quote", asked(sample))
    assert answer.status_code == 200
    quoted = Quote.model_validate_json(answer.content)
    assert quoted.plan is not None
    assert quoted.plan.refund == money("64.00 USD")
    problem(await api.get(where), 404, "no_cancellation")
    assert await api_system.system.refunds(sample.order_id) == []
    stranger = {"customer_id": "C-other", "reason": "no_longer_needed"}
    problem(await api.post(f"{where}/quote", stranger), 404, "order_not_found")
    problem(await api.post(f"{where}/quote", asked(sample), key=None), 401, "key_missing")
    problem(await api.post(f"{where}/quote", {"reason": "whim"}), 422, "invalid_request")
    begun = Submission.model_validate_json((await api.start(sample.order_id, asked(sample))).content)
    assert begun.plan is not None
    assert (begun.decision, begun.plan.value) == (quoted.decision, quoted.plan.value)
    other = {"Idempotency-Key": "req-1"}
    problem(await api.post(f"{where}/quote", asked(sample, note="something else"), **other), 422, "request_conflict")


async def test_a_business_no_is_an_answer_with_what_is_allowed(api: Api, api_system: ApiSystem) -> None:
    """A8"""
    sample = captured()
    await api_system.system.shop.place_order(sample)
    answer = await api.start(sample.order_id, asked(sample, reason="out_of_stock"))
    assert answer.status_code == 200
    decision = Submission.model_validate_json(answer.content).decision
    assert decision is not None
    assert (decision.verdict, decision.rule) == (Verdict.REJECTED, Rule.REASON_NOT_ALLOWED)
    assert decision.allowed_reasons


async def test_a_part_is_cancelled(api: Api, api_system: ApiSystem) -> None:
    sample = SampleOrder(order_id=an_id(), lines=(line("L1", 2, "20.00 USD"),), tenders=(card("20.00 USD"),))
    await api_system.system.shop.place_order(sample)
    answer = await api.start(sample.order_id, asked(sample, lines=[{"line_id": "L1", "quantity": 1}]))
    assert answer.status_code == 201
    await reached(api, sample.order_id, State.CANCELLED, State.PARTIALLY_CANCELLED)
    assert await api_system.system.refunds(sample.order_id) == [money("10.00 USD")]


# Who may do what


async def test_the_one_who_asked_does_not_approve_and_a_service_never_does(api: Api, api_system: ApiSystem) -> None:
    """A9"""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    started = await api.start(sample.order_id, asked(sample, channel="help_desk"), AGENT)
    decision = Submission.model_validate_json(started.content).decision
    assert decision is not None
    assert decision.verdict is Verdict.NEEDS_APPROVAL

    async def listed() -> bool:
        answer = await api.get("/cancellations", AGENT, state="waiting_for_approval", owner="second_person")
        found = SummaryPage.model_validate_json(answer.content)
        return sample.order_id in {row.order_id for row in found.cancellations}

    await eventually(listed, "the cancellation is listed as waiting for approval")
    assert "service" in problem(await api.steer(sample.order_id, "approve", {}, SERVICE), 403, "not_permitted")
    assert "somebody else" in problem(await api.steer(sample.order_id, "approve", {}, AGENT), 409, "not_allowed_now")
    approved = await api.steer(sample.order_id, "approve", {"note": "fine"}, SUPERVISOR)
    assert Acknowledgement.model_validate_json(approved.content).sentence == "Approved; the cancellation goes on."
    ended = await reached(api, sample.order_id, State.CANCELLED)
    assert [(entry.action, str(entry.actor)) for entry in ended.actions] == [
        ("approved", "refund_department:supervisor-2")
    ]


async def test_a_refused_approval_rolls_back(api: Api, api_system: ApiSystem) -> None:
    """D5"""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    assert (await api.steer(sample.order_id, "reject", {})).status_code == 200
    await reached(api, sample.order_id, State.ROLLED_BACK)
    assert (await api.steer(sample.order_id, "reject", {})).status_code == 200, "the same said again"
    late = await api.steer(sample.order_id, "approve", {})
    assert "is over" in problem(late, 409, "not_allowed_now")


async def test_a_service_withdraws_for_the_customer_it_names(api: Api, api_system: ApiSystem) -> None:
    """D1: and for nobody else; A1: who learns the same of an order that is unknown."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    others = await api.steer(sample.order_id, "withdraw", {"customer_id": "C-other"}, SERVICE)
    unknown = await api.steer("O-never", "withdraw", {"customer_id": "C-other"}, SERVICE)
    sentence = problem(unknown, 404, "order_not_found")
    assert problem(others, 404, "order_not_found") == sentence.replace("O-never", sample.order_id)
    problem(await api.steer("O-never", "withdraw", {}, SERVICE), 404, "no_cancellation")
    mine = await api.steer(sample.order_id, "withdraw", {"customer_id": sample.customer_id}, SERVICE)
    assert mine.status_code == 200
    ended = await reached(api, sample.order_id, State.WITHDRAWN)
    assert str(ended.actions[0].actor) == f"customer:{sample.customer_id}"
    for verb in ("withdraw", "choose-refund-method"):
        more = {"target": "T1", "method": "store_credit"} if verb.startswith("choose") else {}
        late = await api.steer(sample.order_id, verb, {"customer_id": "C-other", **more}, SERVICE)
        assert problem(late, 404, "order_not_found") == sentence.replace("O-never", sample.order_id)


async def test_a_person_resolves_a_step_that_waits_and_no_other(api: Api, api_system: ApiSystem) -> None:
    """D2 as well: the money is on its way, so nobody withdraws. E23: a refund that is under way stays watched although a
    person has paid meanwhile; here it fails."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "30.00 USD"),),
        tenders=(card("30.00 USD", card=TestCard.PENDING_REFUND),),
    )
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    waiting = await reached(api, sample.order_id, State.WAITING_FOR_SETTLEMENT)
    late = await api.steer(sample.order_id, "withdraw", {"customer_id": sample.customer_id}, SERVICE)
    assert "its money is being given back" in problem(late, 409, "not_allowed_now")
    nothing = await api.steer(sample.order_id, "retry-step", {"step": "close_order", "target": sample.order_id})
    assert "is waiting for: reverse_payment T1" in problem(nothing, 409, "not_allowed_now")
    decided = {"step": "reverse_payment", "target": "T1", "resolution": "done_by_hand", "reference": "BANK-1"}
    assert problem(await api.steer(sample.order_id, "resolve-step", decided, SERVICE), 403, "not_permitted")
    assert (await api.steer(sample.order_id, "resolve-step", decided)).status_code == 200
    refund = next(row.reference for row in waiting.steps if row.step is StepName.REVERSE_PAYMENT)
    assert refund is not None
    await api_system.system.shop.gateway.fail(refund)
    ended = await reached(api, sample.order_id, State.CANCELLED)
    assert "BANK-1" in {row.reference for row in ended.steps}


async def test_a_customer_chooses_how_to_have_money_that_the_card_does_not_take(
    api: Api, api_system: ApiSystem
) -> None:
    """B23: by the service that speaks for them, and by nobody else's."""
    sample = SampleOrder(
        order_id=an_id(),
        lines=(line("L1", 1, "30.00 USD"),),
        tenders=(card("30.00 USD", card=TestCard.PENDING_REFUND),),
    )
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    waiting = await reached(api, sample.order_id, State.WAITING_FOR_SETTLEMENT)
    choice = {"customer_id": sample.customer_id, "target": "T1", "method": "store_credit"}
    early = await api.steer(sample.order_id, "choose-refund-method", choice, SERVICE)
    assert "nothing to choose" in problem(early, 409, "not_allowed_now")
    refund = next(row.reference for row in waiting.steps if row.step is StepName.REVERSE_PAYMENT)
    assert refund is not None
    await api_system.system.shop.gateway.fail(refund)
    await reached(api, sample.order_id, State.NEEDS_ATTENTION)
    strangers = {**choice, "customer_id": "C-other"}
    refused = await api.steer(sample.order_id, "choose-refund-method", strangers, SERVICE)
    unknown = await api.steer("O-never", "choose-refund-method", strangers, SERVICE)
    sentence = problem(unknown, 404, "order_not_found")
    assert problem(refused, 404, "order_not_found") == sentence.replace("O-never", sample.order_id)
    for_nobody = {"target": "T1", "method": "store_credit"}
    problem(await api.steer(sample.order_id, "choose-refund-method", for_nobody, SERVICE), 403, "not_permitted")
    chosen = await api.steer(sample.order_id, "choose-refund-method", choice, SERVICE)
    assert chosen.status_code == 200, chosen.text
    ended = await reached(api, sample.order_id, State.CANCELLED)
    assert str(ended.actions[0].actor) == f"customer:{sample.customer_id}"


@pytest.mark.parametrize("key", [None, "wrong", "ключ"])
async def test_without_a_valid_key_there_is_nothing_but_health(api: Api, key: str | None) -> None:
    headers = {} if key is None else {b"Authorization": f"Bearer {key}".encode()}
    answer = await api.http.get("/orders/O-1/cancellation", headers=headers)
    problem(answer, 401, "key_missing")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await api.http.get("/health")).json() == {"status": "ok", "warnings": []}
    assert (await api.http.get("/ready")).json() == {"status": "ok", "warnings": []}


# Wrong input


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"reason": "bored"}, "body.reason"),
        ({"reason": "other"}, "body"),
        ({"reason": "found_cheaper", "linse": [{"line_id": "L1", "quantity": 1}]}, "body.linse"),
        ({"reason": "found_cheaper", "lines": [{"line_id": "L1", "quantity": 0}]}, "body.lines.0.quantity"),
        ({"reason": "found_cheaper", "lines": [{"line_id": "L1", "quantity": 1}] * 2}, "body"),
        ({"reason": "found_cheaper", "customer_id": "Jo Canary <jo@canary.example>"}, "body.customer_id"),
    ],
)
async def test_wrong_input_is_named_without_its_value(api: Api, body: Mapping[str, Any], at: str) -> None:
    answer = await api.start("O-1", body)
    assert f"{at}: " in problem(answer, 422, "invalid_request")
    assert [error["at"] for error in answer.json()["errors"]] == [at]
    assert "canary" not in answer.text.lower()


async def test_a_body_that_is_no_json_a_missing_id_and_a_wrong_address_are_problems_too(api: Api) -> None:
    authorised = {"Authorization": f"Bearer {SERVICE}", "Content-Type": "application/json"}
    place = "/orders/O-1/cancellation"
    for body in (b"{", b"\xff", b"[]", b""):
        answer = await api.http.post(place, content=body, headers={**authorised, "Idempotency-Key": "r"})
        problem(answer, 422, "invalid_request")
    no_id = await api.http.post(place, json={"reason": "found_cheaper"}, headers=authorised)
    assert "Idempotency-Key" in problem(no_id, 400, "idempotency_key_missing")
    problem(await api.get("/orders/Jo%20Doe/cancellation"), 422, "invalid_request")
    problem(await api.http.get("/nothing"), 404, "no_such_address")
    problem(await api.http.delete(place), 405, "method_not_allowed")
    huge = await api.http.post(place, content=b" " * 600_000, headers=authorised)
    assert "524288 bytes" in problem(huge, 413, "body_too_large")


async def test_the_ids_of_a_shop_may_be_addresses(api: Api, api_system: ApiSystem) -> None:
    """The number of an order may have slashes, as Shopify's have."""
    sample = captured().model_copy(update={"order_id": f"gid://shop/Order/{an_id()}"})
    await api_system.system.shop.place_order(sample)
    place = f"/orders/{quote(sample.order_id, safe='')}/cancellation"
    started = await api.post(place, asked(sample), **{"Idempotency-Key": "req-1"})
    assert started.status_code == 201, started.text
    assert started.headers["location"] == place
    shown = Status.model_validate_json((await api.get(place)).content)
    assert shown.order_id == sample.order_id


async def test_every_answer_to_generated_requests_fits_the_published_description(
    api: Api, api_system: ApiSystem, tmp_path: Path
) -> None:
    """Requests that fit the OpenAPI document and such that do not, on every endpoint, about an order that waits for
    approval."""
    sample = expensive()
    await api_system.system.shop.place_order(sample)
    await api.start(sample.order_id, asked(sample))
    config = tmp_path / "schemathesis.toml"
    # 503 is in the description: Temporal asks to come again when a message meets a run that is just beginning.
    config.write_text(
        f'[parameters]\n"path.order_id" = "{sample.order_id}"\n'
        '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "4xx", 503]\n'
    )
    runner = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", str(config)),
        *("run", f"{api.process.url}/openapi.json"),
        *(
            "--checks",
            "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance",
        ),
        *("--phases", "examples,coverage,fuzzing", "--mode", "all", "--max-examples", "12", "--seed", "1"),
        *("--header", f"Authorization: Bearer {SUPERVISOR}", "--generation-database", "none", "--no-color"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await runner.communicate()
    assert runner.returncode == 0, out.decode()


async def test_every_problem_and_success_is_described(api: Api) -> None:
    """A caller can be generated from the document: each operation names its problems under their own media type."""
    document = (await api.http.get("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= 12
    for operation in operations:
        assert operation["summary"]
        for code, response in operation["responses"].items():
            media = ["application/problem+json"] if int(code) >= 400 else ["application/json"]
            assert list(response["content"]) == media, (operation["operationId"], code)
    assert "examples" in json.dumps(document["components"]["schemas"]["CancellationBody"])
