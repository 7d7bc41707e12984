"""What becomes of a request that meets a cancellation of its order."""

import pytest

from domain.case import Case
from domain.decision import Gate, Rule
from domain.facts import Ended, Fact, HolderSet, Joined, Requested
from domain.money import Money
from domain.order import OrderFlag
from domain.outcome import Outcome
from domain.request import Actor, ActorKind, CancellationRequest, LineScope, ReasonCode
from domain.second_request import Meeting, joining_facts, meet, with_rights
from tests.domain.build import NOW, line, order, request
from tests.domain.cases import RUN, decided, entries, plan_of, planned_tender, usd

ORDER = order(line("L1", 2, "20.00 USD"), line("L2", 1, "30.00 USD"))
OPENED = Requested(request=request(), at=NOW)
FACTS: list[Fact] = [OPENED, HolderSet(run=RUN), decided(plan_of(planned_tender(refund=5_000)))]
UNDER_WAY = Case(entries(FACTS))
OVER = Case(entries([*FACTS, Ended(outcome=Outcome.CANCELLED, sentence="Order 1001 is cancelled as requested.")]))


def second(*lines: LineScope, statutory: bool = False) -> CancellationRequest:
    reason = ReasonCode.STATUTORY_WITHDRAWAL if statutory else ReasonCode.NO_LONGER_NEEDED
    return request().model_copy(update={"request_id": "r-2", "lines": lines, "reason": reason})


ALL = (LineScope(line_id="L1", quantity=2), LineScope(line_id="L2", quantity=1))
PART = (LineScope(line_id="L2", quantity=1),)


@pytest.mark.parametrize("lines", [(), ALL, ALL[::-1]], ids=["whole", "written out", "turned"])
@pytest.mark.parametrize("books", [UNDER_WAY, Case()], ids=["known", "not yet in the books"])
def test_the_same_scope_joins_once(lines: tuple[LineScope, ...], books: Case) -> None:
    """M9, E5"""
    asked = second(*lines)
    assert meet(ORDER, books, OPENED, asked) is Meeting.JOINS
    if books.request:
        assert joining_facts(ORDER, books, asked) == [Joined(request=asked)]
        assert joining_facts(ORDER, Case(entries([*FACTS, Joined(request=asked)])), asked) == []


@pytest.mark.parametrize(("statutory", "becomes"), [(False, Meeting.UNDER_WAY), (True, Meeting.DEFERRED)])
def test_whatever_does_not_join_waits(statutory: bool, becomes: Meeting) -> None:
    """M9, M10, E28: another scope; a cancellation that has ended while its run goes on; a run of a stranger's."""
    stranger = Actor(kind=ActorKind.CUSTOMER, id="C-2")
    strangers = Requested(request=request().model_copy(update={"customer_id": "C-2", "actor": stranger}), at=NOW)
    for books, opened, lines in ((UNDER_WAY, OPENED, PART), (OVER, OPENED, ()), (Case(), strangers, ())):
        assert meet(ORDER, books, opened, second(*lines, statutory=statutory)) is becomes
    assert joining_facts(ORDER, UNDER_WAY, second(*PART)) == []
    assert joining_facts(ORDER, OVER, second()) == []


@pytest.mark.parametrize(("at_most", "frees"), [(None, True), (usd(5_000), True), (usd(4_999), False)])
def test_a_right_that_is_claimed_under_a_limit_frees_no_more_money_than_that(
    at_most: Money | None, frees: bool
) -> None:
    """Else a key with a limit would do away with the approval of a cancellation that somebody else has asked for."""
    of_consumer = ORDER.model_copy(update={"flags": frozenset({OrderFlag.EU_CONSUMER})})
    waiting = decided(plan_of(planned_tender(refund=3_000, release=2_000)), Gate.BEFORE_STOPPING)
    above_limit = waiting.decision.model_copy(update={"rule": Rule.ABOVE_LIMIT})
    waiting = waiting.model_copy(update={"decision": above_limit})
    withdrawal = second(statutory=True).model_copy(update={"at_most": at_most})
    freed = with_rights(of_consumer, waiting, withdrawal).decision.gate is Gate.NONE
    assert freed is frees
