"""What a person reads whose update is refused: sent to a real dev server over the HTTP API, as the Temporal UI sends it."""

import base64
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import httpx2
import pytest

from domain.outcome import State
from domain.request import workflow_id
from sandbox.shop import request
from tests.fixtures.system import Parts, on_database
from tests.fixtures.temporal import start_dev_server
from tests.system import System
from tests.workflows.samples import captured

STEERING = ("approve", "reject", "withdraw", "retry_step", "resolve_step", "choose_refund_method")
UPDATES = ("submit", *STEERING)
DEPARTMENT = '"actor": "refund_department:R-1"'
CALLED = {"submit": "request"}
LEFT_OUT = {
    "submit": "request_id: it is missing; order_id: it is missing; actor: it is missing; channel: it is missing; "
    "reason: it is missing",
    "resolve_step": "actor: it is missing; resolution: it is missing; reference: it is missing",
    "choose_refund_method": "actor: it is missing; target: it is missing; method: it is missing",
}


@dataclass(frozen=True)
class Ui:
    """The Temporal UI at the run of an order whose cancellation waits for an approval."""

    http: httpx2.AsyncClient
    order_id: str

    async def refusal(self, update: str, *inputs: str, encoding: str = "json/plain") -> str:
        """The sentence with which the update is refused."""
        payloads = [{"metadata": {"encoding": _base64(encoding)}, "data": _base64(sent)} for sent in inputs]
        answer = await self.http.post(
            f"/api/v1/namespaces/default/workflows/{workflow_id(self.order_id)}/update/{update}",
            json={
                "waitPolicy": {"lifecycleStage": "UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED"},
                "request": {
                    "meta": {"updateId": uuid4().hex},
                    "input": {"name": update, "args": {"payloads": payloads}},
                },
            },
        )
        assert answer.status_code == 200, answer.text
        failure = answer.json()["outcome"]["failure"]
        assert failure.keys() <= {"message", "source", "applicationFailureInfo"}, failure
        sentence = str(failure["message"])
        assert not re.search(r"[\n/]|\.py|Traceback|argument|pydantic|Value error", sentence), sentence
        assert sentence.endswith("."), sentence
        return sentence


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
async def ui(sqlite_url: str, parts: Parts) -> AsyncIterator[Ui]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with (
        await start_dev_server(http_port=port) as server,
        on_database(server, sqlite_url, parts) as system,
        system.worker(),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        yield Ui(http, await order_that_waits(system))


async def order_that_waits(system: System) -> str:
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    await system.library.start(request(sample))
    await system.wait_for_state(system.current(sample.order_id), State.WAITING_FOR_APPROVAL)
    return sample.order_id


async def test_an_input_that_cannot_be_read_is_refused_in_a_sentence(ui: Ui) -> None:
    """P2: the box left empty, something else than an object, fields left out, an actor that is none, two inputs."""
    for update in UPDATES:
        what = CALLED.get(update, "message")
        takes = f"The update {update} takes one JSON object, as its description shows;"
        assert await ui.refusal(update) == f"{takes} nothing was sent."
        assert await ui.refusal(update, "{}", "{}") == f"{takes} 2 were sent."
        for sent in ("[]", '"x"', "7", "null"):
            assert await ui.refusal(update, sent) == f"The {what} cannot be read: a JSON object is needed."
        for sent in ("", "{", "approve"):
            assert (await ui.refusal(update, sent)).startswith(
                f"The {what} cannot be read: it is no JSON (line 1 column "
            )
        left_out = LEFT_OUT.get(update, "actor: it is missing")
        assert await ui.refusal(update, "{}") == f"The {what} cannot be read: {left_out}."
        assert "actor.id: " in await ui.refusal(update, '{"actor": "refund_department:"}')
        for actor in ("refund_department", "nobody:R-1", ""):
            said = await ui.refusal(update, json.dumps({"actor": actor}))
            assert "actor: write who acts as KIND:ID, where KIND is one of customer, " in said


async def test_an_input_that_is_no_json_is_refused_in_a_sentence(ui: Ui) -> None:
    """P2: every SDK sends `binary/null` for its own word for nothing."""
    for update in UPDATES:
        what = CALLED.get(update, "message")
        for encoding, sent in (("binary/null", ""), ("binary/plain", "{}")):
            said = await ui.refusal(update, sent, encoding=encoding)
            assert said == f"The {what} cannot be read: a JSON object is needed."
        said = await ui.refusal(update, "{}", encoding="binary/unheard-of")
        assert said == f"The {what} cannot be read: its encoding is not known here."


async def test_a_field_that_is_wrong_is_named(ui: Ui) -> None:
    sent = f'{{{DEPARTMENT}, "resolution": "somehow", "reference": "…"}}'
    said = await ui.refusal("resolve_step", sent)
    assert said.startswith(
        "The message cannot be read: resolution: it has to be one of 'done_by_hand', 'nothing_due', "
    )
    assert "reference: it names no proof" in said
    assert "step: it has to be one of " in await ui.refusal("retry_step", f'{{{DEPARTMENT}, "step": "all"}}')
    assert "method: it has to be one of " in await ui.refusal(
        "choose_refund_method", f'{{{DEPARTMENT}, "method": "cash"}}'
    )


async def test_an_actor_who_may_not_and_a_state_in_which_nothing_waits_are_said(ui: Ui) -> None:
    """P2, P3"""
    order, stranger = ui.order_id, '{"actor": "customer:C-stranger"}'
    not_found = f"Order {order} was not found for this customer. Check the order number."
    for update in ("approve", "reject", "withdraw"):
        assert await ui.refusal(update, stranger) == not_found
    waits = f"Order {order} is waiting for an approval: approve it, or reject it."
    resolving = '"resolution": "done_by_hand", "reference": "BANK-4711"'
    assert await ui.refusal("retry_step", f"{{{DEPARTMENT}}}") == waits
    assert await ui.refusal("resolve_step", f"{{{DEPARTMENT}, {resolving}}}") == waits
    named = f'{DEPARTMENT}, "step": "reverse_payment", "target": "T1"'
    idle = f"reverse_payment of T1 does not wait for a decision. {waits}"
    assert await ui.refusal("retry_step", f"{{{named}}}") == idle
    assert await ui.refusal("resolve_step", f"{{{named}, {resolving}}}") == idle
    chosen = f'{{{DEPARTMENT}, "target": "T1", "method": "store_credit"}}'
    assert order in await ui.refusal("choose_refund_method", chosen)
    other = '{"request_id": "r-1", "order_id": "O-other", "customer_id": "C-1", "actor": "customer:C-1", "channel": '
    said = await ui.refusal("submit", f'{other}"web_shop", "reason": "no_longer_needed"}}')
    assert said == f"This run cancels order {order}, not O-other."
