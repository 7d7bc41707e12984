"""The register: cancellations, their holder and their facts. On SQLite and PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import (
    Approved,
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Ended,
    Fact,
    HolderSet,
    Joined,
    Requested,
    Run,
    WithdrawalAsked,
)
from domain.holder import NotTheHolder
from domain.money import money
from domain.outcome import Outcome
from domain.permissions import NotPossible
from domain.request import Actor, ActorKind
from domain.step import StepName
from providers.books.books import SqlBooks
from sandbox import books, built_in
from tests.providers.merchant import (
    OTHER_RUN,
    RUN,
    STAFF,
    Cancellation,
    Merchant,
    cancellation,
    order,
)

ELSEWHERE = Run(namespace="other-region", run_id="run-1")
UNTIL = datetime(2026, 3, 2, 12, tzinfo=UTC)
APPROVED = Approved(by=STAFF)


def adds(*facts: Fact) -> Callable[[Case], Sequence[Fact]]:
    return lambda case: facts


async def opened(our_books: SqlBooks, request_id: str = "R-1", *, run: Run = RUN) -> Cancellation:
    one = cancellation(order(), request_id=request_id)
    await our_books.open(one.requested, run, adds(one.decided))
    return one


async def ended(our_books: SqlBooks, request_id: str, outcome: Outcome) -> Cancellation:
    one = await opened(our_books, request_id)
    await write(our_books, one, Ended(outcome=outcome, sentence="It is over."))
    return one


async def write(our_books: SqlBooks, one: Cancellation, *facts: Fact, run: Run = RUN) -> None:
    await our_books.write(one.cancellation_id, run, adds(*facts))


def kinds(case: Case) -> list[str]:
    return [entry.fact.kind for entry in case.entries]


async def test_facts_are_numbered_in_the_order_in_which_they_were_written(our_books: SqlBooks) -> None:
    one = await opened(our_books)
    [entry] = await our_books.write(one.cancellation_id, RUN, adds(APPROVED))

    entries = await our_books.read(one.cancellation_id)

    assert [known.seq for known in entries] == [1, 2, 3, 4]
    assert entries[-1] == entry
    assert entries[-1].at >= entries[0].at
    assert [known.fact for known in entries] == [one.requested, HolderSet(run=RUN), one.decided, APPROVED]
    assert await our_books.read(one.cancellation_id, after=3) == (entry,)
    assert await our_books.read("can-404") == ()


async def test_what_is_added_goes_by_what_is_known_at_that_moment(our_books: SqlBooks) -> None:
    """I10: of two answers at once one is kept, and one refusal adds nothing."""
    one = await opened(our_books)

    def approve(case: Case) -> Sequence[Fact]:
        if case.approved:
            raise NotPossible("approved already")
        return [APPROVED]

    answers = await asyncio.gather(
        *(our_books.write(one.cancellation_id, RUN, approve) for _ in range(8)), return_exceptions=True
    )

    assert Counter(type(answer) for answer in answers) == {tuple: 1, NotPossible: 7}
    assert kinds(Case(await our_books.read(one.cancellation_id))).count("approved") == 1


async def test_only_the_run_that_holds_a_cancellation_writes(our_books: SqlBooks) -> None:
    """E19, M25: neither a run that was superseded, nor anybody after the end, nor for a cancellation that is unknown."""
    one = await opened(our_books)
    key = one.key(StepName.REVERSE_PAYMENT, "T-card")

    async def refused(run: Run, cancellation_id: str = one.cancellation_id) -> Run | None:
        with pytest.raises(NotTheHolder) as no:
            await our_books.write(cancellation_id, run, adds(APPROVED))
        if cancellation_id == one.cancellation_id:
            with pytest.raises(NotTheHolder):
                await our_books.note_effect(key, run, amount=None, until=UNTIL)
        return no.value.holder

    assert await refused(OTHER_RUN) == RUN
    await our_books.take_up(one.cancellation_id, OTHER_RUN)
    assert await refused(RUN) == OTHER_RUN
    await write(our_books, one, Ended(outcome=Outcome.CANCELLED, sentence="It is over."), run=OTHER_RUN)
    assert await refused(OTHER_RUN) is None
    assert await refused(RUN, "can-404") is None
    assert key not in Case(await our_books.read(one.cancellation_id)).all_keys_noted(key.step, target=key.target)


async def test_a_run_takes_over_from_one_that_was_lost_in_its_namespace(our_books: SqlBooks) -> None:
    """E15: and learns all that is known; once, however often it asks."""
    one = await opened(our_books)
    await write(our_books, one, APPROVED)

    for _ in range(2):
        entries = await our_books.take_up(one.cancellation_id, OTHER_RUN)

    case = Case(entries)
    assert (case.holder, case.approved) == (OTHER_RUN, True)
    assert kinds(case) == ["requested", "holder_set", "decided", "approved", "holder_set"]


async def test_a_run_of_another_namespace_takes_over_only_where_a_person_orders_it(our_books: SqlBooks) -> None:
    """E15: the namespace was lost, or it is alive: only a person knows."""
    one = await opened(our_books)

    for _ in range(2):
        with pytest.raises(Refused, match=r"held by a run in the namespace default\. Look there") as no:
            await our_books.take_up(one.cancellation_id, ELSEWHERE)
        with pytest.raises(Refused):
            await our_books.open(one.requested, ELSEWHERE, adds(APPROVED))
    assert no.value.code is ErrorCode.HELD_ELSEWHERE
    assert Case(await our_books.read(one.cancellation_id)).holder == RUN

    taken = await our_books.take_up(one.cancellation_id, ELSEWHERE, from_elsewhere=True)
    assert Case(taken).holder == ELSEWHERE
    with pytest.raises(NotTheHolder) as superseded:
        await our_books.write(one.cancellation_id, RUN, adds(APPROVED))
    assert superseded.value.holder == ELSEWHERE


async def test_what_has_ended_or_is_unknown_is_not_taken_up(our_books: SqlBooks) -> None:
    one = await ended(our_books, "R-1", Outcome.CANCELLED)

    assert Case(await our_books.take_up(one.cancellation_id, ELSEWHERE)).holder == RUN
    assert await our_books.take_up("can-404", RUN) == ()


async def test_an_effect_is_noted_once_whoever_comes_first(our_books: SqlBooks) -> None:
    """I5, E15: every attempt gets the same note, also that of a run that took over."""
    one = await opened(our_books)
    key = one.key(StepName.REVERSE_PAYMENT, "T-card")

    first = await our_books.note_effect(key, RUN, amount=money("60.00 USD"), until=UNTIL)
    second = await our_books.note_effect(key, RUN, amount=money("60.00 USD"), until=UNTIL)
    await our_books.take_up(one.cancellation_id, OTHER_RUN)
    third = await our_books.note_effect(key, OTHER_RUN, amount=money("60.00 USD"), until=UNTIL)
    other = await our_books.note_effect(key.next, OTHER_RUN, amount=None, until=UNTIL)

    assert [entry.fact for entry in first] == [EffectNoted(key=key, amount=money("60.00 USD"))]
    assert first == second == third
    assert [entry.fact for entry in other] == [EffectNoted(key=key.next)]
    case = Case(await our_books.read(one.cancellation_id))
    assert kinds(case).count("effect_noted") == 2
    assert case.past_pivot


async def test_an_effect_and_the_roll_back_are_noted_one_after_the_other(our_books: SqlBooks) -> None:
    """Rule 11, I9: of an order to roll back and a note at the same time one comes first. A note that comes after it is
    refused, and promises no call; an undoing is noted."""
    one = await opened(our_books)
    key = one.key(StepName.STOP_SHIPMENT, "S1")
    noted, _ = await asyncio.gather(
        our_books.note_effect(key, RUN, amount=None, until=UNTIL),
        write(our_books, one, WithdrawalAsked(by=one.request.actor)),
        return_exceptions=True,
    )
    known = kinds(Case(await our_books.read(one.cancellation_id)))
    assert ("effect_noted" in known) is not isinstance(noted, Refused)
    assert "effect_noted" not in known[known.index("withdrawal_asked") :]

    quiet = await our_books.quiet_after(one.cancellation_id)
    with pytest.raises(Refused) as undone:
        await our_books.note_effect(key, RUN, amount=None, until=UNTIL + timedelta(days=1))
    assert undone.value.code is ErrorCode.ROLLED_BACK
    assert await our_books.quiet_after(one.cancellation_id) == quiet
    undoing = one.key(StepName.RESUME_SHIPMENT, "S1")
    [entry] = await our_books.note_effect(undoing, RUN, amount=None, until=UNTIL)
    assert entry.fact == EffectNoted(key=undoing)


async def test_the_books_know_how_long_an_attempt_may_still_be_on_its_way(our_books: SqlBooks) -> None:
    """E19: a later attempt with less patience, and a take-over, take nothing off."""
    one = await opened(our_books)
    key = one.key(StepName.STOP_SHIPMENT, "S1")
    until = datetime.now(UTC) + timedelta(minutes=5)
    assert await our_books.quiet_after(one.cancellation_id) < until

    await our_books.note_effect(key, RUN, amount=None, until=until)
    await our_books.note_effect(key, RUN, amount=None, until=until - timedelta(minutes=3))
    await our_books.take_up(one.cancellation_id, OTHER_RUN)

    assert await our_books.quiet_after(one.cancellation_id) == until
    await our_books.note_effect(key, OTHER_RUN, amount=None, until=until + timedelta(minutes=4))
    assert await our_books.quiet_after(one.cancellation_id) == until + timedelta(minutes=4)


async def test_attempts_at_the_same_time_note_an_effect_once(our_books: SqlBooks) -> None:
    """I5"""
    one = await opened(our_books)
    key = one.key(StepName.STOP_SHIPMENT, "S1")

    noted = await asyncio.gather(*(our_books.note_effect(key, RUN, amount=None, until=UNTIL) for _ in range(8)))

    assert len(set(noted)) == 1
    assert kinds(Case(await our_books.read(one.cancellation_id))).count("effect_noted") == 1


async def test_who_notes_an_effect_again_learns_all_that_became_of_it(our_books: SqlBooks) -> None:
    """M3, M36"""
    one = await opened(our_books)
    key = one.key(StepName.REVERSE_PAYMENT, "T-card")
    await our_books.note_effect(key, RUN, amount=None, until=UNTIL)
    ends = [
        EffectEnded(key=key, outcome=EffectOutcome.UNKNOWN),
        EffectEnded(key=key, outcome=EffectOutcome.DONE, reference="re_1"),
    ]
    another = EffectEnded(key=key.part_of("void"), outcome=EffectOutcome.REFUSED)
    await write(our_books, one, *ends, another)

    noted = await our_books.note_effect(key, RUN, amount=None, until=UNTIL)

    assert [entry.fact for entry in noted] == [EffectNoted(key=key), *ends]


async def test_the_database_itself_refuses_a_second_note_of_a_key(our_books: SqlBooks, database: AsyncEngine) -> None:
    one = await opened(our_books)
    await our_books.note_effect(one.key(StepName.STOP_SHIPMENT, "S1"), RUN, amount=None, until=UNTIL)

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO facts (cancellation_id, seq, kind, noted, content, at)"
                    " SELECT cancellation_id, 99, kind, noted, content, at FROM facts WHERE noted IS NOT NULL"
                )
            )


@pytest.mark.parametrize("change", ["UPDATE facts SET kind = 'approved'", "DELETE FROM facts"])
async def test_facts_are_never_changed(our_books: SqlBooks, database: AsyncEngine, change: str) -> None:
    """I4"""
    await opened(our_books)
    with pytest.raises(IntegrityError, match="facts is append-only"):
        async with database.begin() as connection:
            await connection.execute(text(change))


# Opening


async def test_a_withdrawal_before_verification_opens_a_row_that_holds_nothing(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M2: written before the order was even read."""
    await built_in.add_order(database, order(), email="customer@example.test")
    one = cancellation(order())

    entries = await merchant.books.open(one.requested, RUN, adds(WithdrawalAsked(by=one.request.actor)))

    case = Case(entries)
    assert kinds(case) == ["requested", "holder_set", "withdrawal_asked"]
    assert case.roll_back_cause is not None
    assert case.requested_at == one.requested.at
    assert (await books.order(database, "O-1")).held_by is None
    assert [row.outcome for row in await books.cancellations(database)] == [None]


async def test_an_order_has_one_open_cancellation_whichever_request_opened_it(our_books: SqlBooks) -> None:
    """Rule 15: another request of the same scope joins; what is added goes to the one that is open."""
    first = await opened(our_books)
    second = cancellation(order(), request_id="R-2")

    entries = await our_books.open(second.requested, OTHER_RUN, adds(Joined(request=second.request)))

    case = Case(entries)
    assert case.cancellation_id == first.cancellation_id
    assert (case.holder, case.requests) == (OTHER_RUN, (first.request, second.request))


async def test_requests_at_the_same_time_open_one_cancellation(our_books: SqlBooks) -> None:
    """A second insert is refused by the database: its caller tries again, and finds the first."""
    requests = [cancellation(order(), request_id=f"R-{n}").requested for n in range(8)]

    def join(requested: Requested) -> Callable[[Case], Sequence[Fact]]:
        return lambda case: [Joined(request=requested.request)] if case.request != requested.request else []

    async def ask(requested: Requested) -> str:
        while True:
            try:
                return Case(await our_books.open(requested, RUN, join(requested))).cancellation_id
            except Unavailable:
                continue

    assert len(set(await asyncio.gather(*map(ask, requests)))) == 1


async def test_whether_more_is_said_of_one_that_has_ended_is_judged_by_its_facts(our_books: SqlBooks) -> None:
    one = await ended(our_books, "R-1", Outcome.CANCELLED)
    before = await our_books.read(one.cancellation_id)

    def refuse(case: Case) -> Sequence[Fact]:
        assert case.ended is not None
        raise NotPossible("it has ended")

    with pytest.raises(NotPossible):
        await our_books.open(one.requested, RUN, refuse)
    assert await our_books.open(one.requested, RUN, adds()) == before


# Finding


async def test_a_request_finds_the_open_cancellation_then_its_own_then_the_last_one_that_was_carried_out(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """A3, M38"""
    await built_in.add_order(database, order(), email="customer@example.test")

    async def found(request_id: str, *, carried_out: bool = False) -> str:
        known = await merchant.books.of_order("O-1")
        return known.case_for(request_id, carried_out=carried_out).cancellation_id

    assert await found("R-1") == ""
    withdrawn = cancellation(order(), request_id="R-1")
    await merchant.hold(withdrawn)
    await merchant.release(withdrawn)
    assert (await found("R-1"), await found("R-2", carried_out=True)) == (withdrawn.cancellation_id, "")
    whole = cancellation(order(), request_id="R-2")
    await merchant.hold(whole)
    assert await found("R-1") == whole.cancellation_id, "the open one comes first"
    own = (await merchant.books.of_order("O-1")).of_request("R-1")
    assert own is not None
    assert own.cancellation_id == withdrawn.cancellation_id, "its own, whatever is under way"
    await merchant.close(whole)
    await merchant.end(whole)

    ids = [await found(request_id, carried_out=True) for request_id in ("R-1", "R-2", "R-3")]
    assert ids == [withdrawn.cancellation_id, whole.cancellation_id, whole.cancellation_id]
    assert await found("R-3") == ""
    assert (await merchant.books.of_order("O-404")).case_for("R-2", carried_out=True).entries == ()


async def test_a_request_that_joined_finds_what_it_joined(our_books: SqlBooks) -> None:
    """M10, M13: one cancellation, one id; and where it opened one of its own afterwards, that one."""
    first = await opened(our_books)
    second = cancellation(order(), request_id="R-2", by=Actor(kind=ActorKind.RISK, id="risk-1"))
    await write(our_books, first, Joined(request=second.request), Ended(outcome=Outcome.WITHDRAWN, sentence="Over."))

    async def found() -> str | None:
        case = (await our_books.of_order("O-1")).of_request("R-2")
        return case.cancellation_id if case else None

    assert await found() == first.cancellation_id
    own = Case(await our_books.open(second.requested, RUN, adds()))
    assert own.cancellation_id == second.cancellation_id != first.cancellation_id
    assert await found() == second.cancellation_id


async def test_all_cancellations_of_an_order_are_known_oldest_first(our_books: SqlBooks) -> None:
    first = await ended(our_books, "R-1", Outcome.ROLLED_BACK)
    second = await ended(our_books, "R-2", Outcome.CANCELLED)
    third = await opened(our_books, "R-3")
    await our_books.open(cancellation(order("O-2")).requested, RUN, adds())

    known = await our_books.of_order("O-1")

    assert [case.entries for case in known.cases] == [
        await our_books.read(opened.cancellation_id) for opened in (first, second, third)
    ]
    assert (await our_books.of_order("O-404")).cases == []
