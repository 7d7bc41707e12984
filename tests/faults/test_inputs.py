"""Whatever reaches a run from outside: no task of it fails, a refusal is a sentence, and the run goes on."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from domain.outcome import Outcome, State
from domain.request import workflow_id
from sandbox.shop import request
from tests.system import Handle, System
from tests.workflows.samples import an_id, captured

_WORDS_OF_A_PROGRAM = ("Traceback", "pydantic", 'File "', "Error:", "object at 0x")
_TOO_LARGE = {RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.RESOURCE_EXHAUSTED}

pytestmark = [pytest.mark.properties, pytest.mark.long]


@dataclass
class Waiting:
    """A run that waits for a second person. `raw` sends what it is given, unread."""

    system: System
    handle: Handle
    raw: Client
    order_id: str

    @property
    def by_hand(self) -> Any:
        return self.raw.get_workflow_handle(self.handle.id)

    async def check_sound(self) -> None:
        assert not await self.system.has_failed_task(self.handle)
        assert (await self.system.progress(self.handle)).state is State.WAITING_FOR_APPROVAL


@pytest.fixture
async def waiting(real_time_system: System) -> AsyncIterator[Waiting]:
    system = real_time_system
    sample = captured(total="600.00 USD")
    await system.shop.place_order(sample)
    async with system.worker():
        _, handle = await system.submit(request(sample))
        await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
        raw = Client(system.client.service_client, namespace=system.client.namespace)
        yield Waiting(system, handle, raw, sample.order_id)
        await system.approve(handle)
        assert (await system.finish(handle)).outcome is Outcome.CANCELLED
    await system.assert_books_balance()


def payload(data: bytes) -> RawValue:
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))


def refused_anyway(order_id: str) -> Mapping[str, dict[str, object]]:
    """A message of each kind that is well formed and that this run does not take."""
    asker = f"customer:C-{order_id}"
    other = "customer:somebody-else"
    return {
        "submit": {
            "request_id": "r-1",
            "order_id": "another-order",
            "customer_id": "C-1",
            "actor": other,
            "channel": "web_shop",
            "reason": "no_longer_needed",
        },
        "approve": {"actor": asker},
        "reject": {"actor": asker},
        "withdraw": {"actor": other},
        "retry_step": {"actor": asker, "step": "stop_shipment", "target": "S1"},
        "resolve_step": {"actor": asker, "resolution": "done_by_hand", "reference": "REF-1"},
        "choose_refund_method": {"actor": asker, "target": "T1", "method": "store_credit"},
    }


_MESSAGES = sorted(refused_anyway(""))
_FIELDS = sorted({name for message in refused_anyway("").values() for name in message} | {"note", "at_most", "lines"})
_ODD_TEXTS = st.one_of(
    st.text(),
    st.sampled_from(["\0", "a\0b", "\ud800", "\u202e", "x" * 300_000, "' OR 1=1 --", "{{7*7}}", "<script>", "\x1b[2J"]),
)
_ODD_NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 10**400, 2**63, -(2**63), 1e308]))
_ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), _ODD_NUMBERS, _ODD_TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_ODD_TEXTS, inner, max_size=4),
    max_leaves=12,
)
_BROKEN = (
    b"",
    b"{",
    b"\xff\xfe",
    b'{"actor": "customer:\\ud800"}',
    b'{"actor": {"kind": "customer", "id": NaN}}',
    b'{"actor": ' + b"9" * 5_000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b'{"actor": "a", "actor": {"kind": null}}',
    b'{"note": "' + b"n" * 1_500_000 + b'"}',
)


async def refusal_of(waiting: Waiting, update: str, *arguments: object) -> str:
    """The sentence. The engine itself takes no message above its own limits."""
    try:
        await waiting.by_hand.execute_update(update, args=arguments)
    except WorkflowUpdateFailedError as refused:
        return str(getattr(refused.cause, "message", refused.cause))
    except RPCError as refused:
        if refused.status not in _TOO_LARGE:
            raise
        return str(refused)
    raise AssertionError(f"{update} was accepted: {str(arguments)[:200]}")


def check_sentence(sentence: str) -> None:
    assert sentence
    assert len(sentence) < 2_000, sentence[:2_000]
    assert not [word for word in _WORDS_OF_A_PROGRAM if word in sentence], sentence


_ASYNC = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_ASYNC
@given(update=st.sampled_from(_MESSAGES), field=st.sampled_from(_FIELDS), value=_ODD)
async def test_a_message_with_an_odd_field_is_refused_in_a_sentence(
    waiting: Waiting, update: str, field: str, value: object
) -> None:
    message = {**refused_anyway(waiting.order_id)[update], field: value}
    data = json.dumps(message).encode()
    check_sentence(await refusal_of(waiting, update, payload(data)))
    await waiting.check_sound()


async def test_a_message_that_is_no_message_is_refused_in_a_sentence(waiting: Waiting) -> None:
    for update in _MESSAGES:
        for data in _BROKEN:
            check_sentence(await refusal_of(waiting, update, payload(data)))
        check_sentence(await refusal_of(waiting, update))
        check_sentence(await refusal_of(waiting, update, *(payload(b"{}") for _ in range(20))))
        await waiting.check_sound()


async def test_a_signal_that_is_none_changes_nothing(waiting: Waiting) -> None:
    for signal in ("shipment_event", "refund_event", "no_such_signal"):
        for data in _BROKEN:
            await waiting.by_hand.signal(signal, payload(data))
        await waiting.by_hand.signal(signal, args=[])
        await waiting.by_hand.signal(signal, args=[payload(b"1") for _ in range(50)])
    await waiting.check_sound()


@pytest.mark.parametrize("data", _BROKEN, ids=range(len(_BROKEN)))
async def test_a_start_that_is_none_fails_in_a_sentence(real_time_system: System, data: bytes) -> None:
    """It opens nothing."""
    system, order_id = real_time_system, an_id()
    raw = Client(system.client.service_client, namespace=system.client.namespace)
    async with system.worker():
        started = await raw.start_workflow(
            "CancellationWorkflow", payload(data), id=workflow_id(order_id), task_queue=system.task_queue
        )
        system.started.append(system.current(order_id))
        with pytest.raises(WorkflowFailureError) as failed:
            await started.result()
    assert isinstance(failed.value.cause, ApplicationError)
    check_sentence(failed.value.cause.message)
    assert await system.outcomes(order_id) == []
