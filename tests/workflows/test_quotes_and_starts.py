"""A quote says what its start would answer at the same moment."""

import pytest

from client.errors import UnderWay
from domain.money import money
from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.request import LineScope, ReasonCode
from domain.step import StepName
from sandbox.carrier.model import Script
from sandbox.shop import SampleOrder, card, line, request
from tests.system import System, customer_of
from tests.workflows.samples import an_id, captured, in_network
from tests.workflows.test_shops_that_cannot_freeze import over_oscar

__all__ = ["over_oscar"]

WHOLE = money("100.00 USD")


def of_two_lines() -> SampleOrder:
    lines = (line("L1", 1, "20.00 USD"), line("L2", 1, "600.00 USD"))
    return SampleOrder(order_id=an_id(), lines=lines, tenders=(card("620.00 USD"),))


async def test_a_quote_of_a_withdrawal_by_right_says_what_its_start_answers(open_system: System) -> None:
    """A15: it joins the customer's cancellation that waits for a second person, and makes that needless."""
    system = open_system
    sample = captured(total="600.00 USD").model_copy(
        update={"country": "DE", "flags": frozenset({OrderFlag.EU_CONSUMER})}
    )
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    by_right = request(sample, request_id="by-right").model_copy(update={"reason": ReasonCode.STATUTORY_WITHDRAWAL})
    quote = await system.library.quote(by_right)
    answer = await system.library.start(by_right)
    assert answer.decision
    assert quote.decision.verdict is answer.decision.verdict


async def test_a_quote_of_the_same_scope_while_it_is_rolled_back_says_what_its_start_answers(
    open_system: System,
) -> None:
    """Rule 15: what is being rolled back is not joined."""
    system, sample = open_system, in_network(Script.INTERCEPT_IS_FINAL)
    await system.shop.place_order(sample)
    _, handle = await system.submit(request(sample))
    await system.wait_for_state(handle, State.WAITING_FOR_CARRIER)
    await system.withdraw(handle, customer_of(sample))
    assert await system.wait_for_step(handle, StepName.RESUME_SHIPMENT)
    again = request(sample, request_id="again")
    with pytest.raises(UnderWay):
        await system.library.start(again)
    with pytest.raises(UnderWay):
        await system.library.quote(again)


async def test_a_quote_of_a_request_that_has_ended_is_its_own_answer_while_another_one_runs(
    open_system: System,
) -> None:
    """M38: as its start is answered."""
    system, sample = open_system, of_two_lines()
    await system.shop.place_order(sample)
    first = request(sample, LineScope(line_id="L1", quantity=1), request_id="first")
    ended = await system.cancel(first)
    _, handle = await system.submit(request(sample, LineScope(line_id="L2", quantity=1), request_id="second"))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    answer = await system.library.start(first)
    assert answer.cancellation_id == ended.cancellation_id
    quote = await system.library.quote(first)
    assert quote.existing == ended.cancellation_id


async def test_a_request_that_has_ended_is_answered_with_its_own_when_the_other_ones_run_is_lost(
    open_system: System,
) -> None:
    """M38, E15: the run of the second is lost, and the first is sent again."""
    system, sample = open_system, of_two_lines()
    await system.shop.place_order(sample)
    first = request(sample, LineScope(line_id="L1", quantity=1), request_id="first")
    ended = await system.cancel(first)
    _, handle = await system.submit(request(sample, LineScope(line_id="L2", quantity=1), request_id="second"))
    await system.wait_for_state(handle, State.WAITING_FOR_APPROVAL)
    await system.lose(handle)
    answer = await system.library.start(first)
    system.started.append(system.current(sample.order_id))
    assert answer.cancellation_id == ended.cancellation_id
    assert answer.result
    assert answer.result.outcome is Outcome.CANCELLED


async def test_a_quote_for_an_order_that_is_cancelled_says_what_its_start_answers_whatever_the_reason(
    open_system: System,
) -> None:
    """A3, A8: by the sequence of the rules the existing cancellation comes first."""
    system, sample = open_system, captured(parcels=())
    await system.shop.place_order(sample)
    await system.cancel(request(sample, request_id="first"))
    other = request(sample, request_id="other").model_copy(
        update={"actor": customer_of(sample), "reason": ReasonCode.OUT_OF_STOCK}
    )
    answer = await system.library.start(other)
    system.started.append(system.current(sample.order_id))
    quote = await system.library.quote(other)
    assert answer.decision
    assert (quote.decision.verdict, quote.decision.rule) == (answer.decision.verdict, answer.decision.rule)
