"""How a cancellation is held, decided and released in the books. On SQLite and PostgreSQL."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.case import Case
from domain.decision import Verdict
from domain.errors import ErrorCode, Refused, Unavailable
from domain.facts import Decided, EffectNoted, Ended, WithdrawalAsked
from domain.holder import NotTheHolder
from domain.order import Contact, OrderState
from domain.outcome import Outcome
from domain.request import LineScope
from domain.step import StepName
from providers.outbox.port import NewNotice, NoticeKind
from sandbox import books, built_in
from tests.providers.merchant import (
    DECISION,
    LATER,
    OTHER_RUN,
    RUN,
    Cancellation,
    Merchant,
    cancellation,
    order,
)

RECEIVED = NewNotice(kind=NoticeKind.RECEIVED)
CANCELLED = NewNotice(kind=NoticeKind.CANCELLED)
EMAIL = "customer@example.test"
ONE = cancellation(order())
OTHER = cancellation(order(), request_id="R-2")
VERIFY = ONE.key(StepName.VERIFY_ORDER)


def kinds(case: Case) -> list[str]:
    return [entry.fact.kind for entry in case.entries]


async def frozen_by(database: AsyncEngine) -> str | None:
    return (await books.order(database, "O-1")).held_by


# Held and decided


async def test_an_order_is_held_and_decided_once_however_often_it_is_asked_for(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """A4: the effect of a repeated call."""
    await built_in.add_order(database, order(), email=EMAIL)

    for _ in range(3):
        await merchant.hold(ONE, [RECEIVED])

    assert await frozen_by(database) == ONE.cancellation_id
    case = Case(await books.facts(database, "O-1"))
    assert (case.request, case.decided, case.holder) == (ONE.request, ONE.decided, RUN)
    assert case.is_done(StepName.VERIFY_ORDER, "O-1")
    assert kinds(case) == ["requested", "holder_set", "effect_noted", "decided", "effect_ended"]
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.RECEIVED]


async def test_attempts_at_the_same_time_decide_once(merchant: Merchant, database: AsyncEngine) -> None:
    """I5: attempts with one key, at once. Who comes second at the very first may have to try again."""
    await built_in.add_order(database, order(), email=EMAIL)

    await asyncio.gather(*(hold_at_last(merchant, ONE) for _ in range(10)))

    case = Case(await books.facts(database, "O-1"))
    assert kinds(case) == ["requested", "holder_set", "effect_noted", "decided", "effect_ended"]
    assert len(await books.notices(database)) == 1


async def hold_at_last(merchant: Merchant, one: Cancellation) -> None:
    while True:
        try:
            return await merchant.hold(one, [RECEIVED])
        except Unavailable:
            continue


async def test_one_cancellation_at_a_time_holds_an_order(merchant: Merchant, database: AsyncEngine) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    rivals = [cancellation(order(), request_id=f"R-{n}") for n in range(20)]

    answers = await asyncio.gather(*(hold_at_last(merchant, rival) for rival in rivals), return_exceptions=True)

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert Counter(refusal.code for refusal in refusals) == {ErrorCode.ORDER_HELD: 19}
    assert len([answer for answer in answers if answer is None]) == 1
    holder = await frozen_by(database)
    assert all(f"held by cancellation {holder}" in refusal.message for refusal in refusals)
    assert [row.cancellation_id for row in await books.cancellations(database)] == [holder]


async def test_the_database_itself_refuses_a_second_open_cancellation(
    merchant: Merchant, database: AsyncEngine
) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.hold(ONE)

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO cancellations"
                    " (cancellation_id, order_id, holder_namespace, holder_run, facts, quiet_after, opened_at)"
                    " SELECT 'other', order_id, holder_namespace, holder_run, facts, quiet_after, opened_at"
                    " FROM cancellations"
                )
            )


async def test_that_an_order_is_about_to_be_frozen_is_noted_before_it_is(merchant: Merchant) -> None:
    """M3: an attempt that is lost may have frozen it. The cancellation is open from then on, and its attempts may be on
    their way until the last of them has run out of time."""
    until = datetime.now(UTC) + timedelta(minutes=5)
    first = await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=until)

    second = await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=until - timedelta(minutes=1))

    case = Case(first)
    assert kinds(case) == ["requested", "holder_set", "effect_noted"]
    assert (case.decided, case.is_done(StepName.VERIFY_ORDER, "O-1")) == (None, False)
    assert first == second == await merchant.books.read(ONE.cancellation_id)
    assert await merchant.books.quiet_after(ONE.cancellation_id) == until
    await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=until + timedelta(minutes=1))
    assert await merchant.books.quiet_after(ONE.cancellation_id) == until + timedelta(minutes=1)


async def test_only_the_run_that_verifies_an_order_notes_that_it_freezes_it(merchant: Merchant) -> None:
    """E19, M25: one that began earlier and wakes up late does not, nor one that was taken over from."""
    await merchant.books.begin_verification("O-1", OTHER_RUN, datetime(2026, 3, 2, tzinfo=UTC))
    with pytest.raises(NotTheHolder) as late:
        await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=LATER)
    await merchant.books.note_hold(ONE.requested, VERIFY, OTHER_RUN, until=LATER)
    with pytest.raises(NotTheHolder) as superseded:
        await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=LATER)
    with pytest.raises(NotTheHolder):
        await merchant.books.decide(order(), ONE.decided, [], key=VERIFY, run=RUN)

    assert (late.value.holder, superseded.value.holder) == (OTHER_RUN, OTHER_RUN)
    assert kinds(await merchant.case(ONE)) == ["requested", "holder_set", "effect_noted"]


async def test_an_order_that_has_changed_since_it_was_read_is_decided_about_again(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """I2: nothing is decided until it is frozen as it was read; the cancellation stays open, and noted."""
    await built_in.add_order(database, order(), email=EMAIL)
    seen = (await merchant.orders.read("O-1")).model_copy(update={"country": "DE"})
    await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=LATER)

    with pytest.raises(Unavailable, match="read and decided about again"):
        await merchant.orders.freeze(seen, key=VERIFY)

    assert kinds(await merchant.case(ONE)) == ["requested", "holder_set", "effect_noted"]
    await merchant.hold(ONE)
    assert await frozen_by(database) == ONE.cancellation_id
    assert (await merchant.case(ONE)).decided == ONE.decided


async def test_a_decision_keeps_the_order_as_it_was_read_first_without_where_the_customer_lives(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """M4, I8: the oldest one is what the books go by, whatever the order looks like to later cancellations."""
    await built_in.add_order(database, order(), email=EMAIL)
    assert (await merchant.books.of_order("O-1")).first_read is None
    first = cancellation(order(), lines=[LineScope(line_id="L1", quantity=1)])
    await merchant.hold(first)
    before = await merchant.orders.read("O-1")
    assert before.contact == Contact(email=EMAIL)

    await merchant.books.decide(
        before.model_copy(update={"country": "AT"}), first.decided, [], key=first.key(StepName.VERIFY_ORDER), run=RUN
    )
    await merchant.close(first)
    await merchant.end(first)
    await merchant.hold(cancellation(await books.order(database, "O-1"), request_id="R-2"))

    assert (await merchant.books.of_order("O-1")).first_read == before.model_copy(update={"contact": None})
    async with database.connect() as connection:
        kept = (await connection.scalars(text("SELECT first_read FROM cancellations"))).all()
    assert len(kept) == 2
    assert all(kept)
    assert EMAIL not in str(kept)


async def test_a_cancellation_that_was_never_decided_keeps_no_order(merchant: Merchant, database: AsyncEngine) -> None:
    """The first that was decided is the first read."""
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=LATER)
    await merchant.release(ONE)
    assert (await merchant.books.of_order("O-1")).first_read is None

    await merchant.hold(OTHER)

    known = await merchant.books.of_order("O-1")
    assert known.first_read == (await merchant.orders.read("O-1")).model_copy(update={"contact": None})


async def test_a_decision_that_rejects_ends_the_requests_own_cancellation_and_no_other(merchant: Merchant) -> None:
    no = Decided(decision=DECISION.model_copy(update={"verdict": Verdict.REJECTED}), customer_id="C-1")
    ended = Ended(outcome=Outcome.REJECTED, sentence="No.")
    await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=LATER)

    with pytest.raises(NotTheHolder) as held:
        await merchant.books.refuse(OTHER.requested, OTHER_RUN, [no, ended], [])
    for _ in range(2):
        entries = await merchant.books.refuse(ONE.requested, RUN, [no, ended], [])

    assert held.value.holder == RUN
    assert [entry.fact for entry in entries[-2:]] == [no, ended]
    assert await merchant.books.read(ONE.cancellation_id) == entries
    assert kinds(Case(entries)) == ["requested", "holder_set", "effect_noted", "decided", "ended"]


# Withdrawn and released


async def test_a_withdrawal_that_came_before_the_hold_wins(merchant: Merchant, database: AsyncEngine) -> None:
    """D1, M2: the customer withdrew while the order was being verified; and without an order there is nothing to release."""
    await built_in.add_order(database, order(), email=EMAIL)
    for opened in (ONE, cancellation(order("O-404"))):
        withdrawn = [WithdrawalAsked(by=opened.request.actor)]
        await merchant.books.open(opened.requested, RUN, lambda case, facts=withdrawn: facts)  # type: ignore[misc]
        if opened.order_id == "O-1":
            await merchant.hold(opened, [RECEIVED])
            assert await frozen_by(database) is None
        await merchant.books.release([RECEIVED], key=opened.key(StepName.RELEASE_ORDER), run=RUN)

    assert [row.outcome for row in await books.cancellations(database)] == [Outcome.WITHDRAWN, Outcome.WITHDRAWN]
    facts = [entry.fact for entry in await books.facts(database, "O-1")]
    assert not [fact for fact in facts if isinstance(fact, Decided)]
    assert [fact.key.step for fact in facts if isinstance(fact, EffectNoted)] == [StepName.RELEASE_ORDER]


async def test_a_withdrawal_between_freezing_and_deciding_wins(merchant: Merchant, database: AsyncEngine) -> None:
    """D1: nothing is decided, and the order goes on."""
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.books.note_hold(ONE.requested, VERIFY, RUN, until=LATER)
    seen = await merchant.orders.read("O-1")
    await merchant.orders.freeze(seen, key=VERIFY)
    await merchant.withdraw(ONE)

    entries = await merchant.books.decide(seen, ONE.decided, [RECEIVED], key=VERIFY, run=RUN)

    assert entries == await merchant.books.read(ONE.cancellation_id)
    assert Case(entries).decided is None
    assert await books.notices(database) == []
    await merchant.release(ONE)
    assert await frozen_by(database) is None


async def test_a_release_gives_the_order_back_and_ends_the_cancellation(
    merchant: Merchant, database: AsyncEngine
) -> None:
    """D1: the hold is off, the promise stands, the facts say how it ended."""
    await built_in.add_order(database, order(), email=EMAIL)
    before = await built_in.stock(database, "SKU-L1")
    await merchant.hold(ONE)

    await merchant.release(ONE, [NewNotice(kind=NoticeKind.NOT_CANCELLED)])
    again = await merchant.books.release([], key=ONE.key(StepName.RELEASE_ORDER), run=RUN)

    read = await books.order(database, "O-1")
    assert (read.held_by, read.state) == (None, OrderState.OPEN)
    assert await built_in.stock(database, "SKU-L1") == before
    ended = (await merchant.books.of_order("O-1")).case_for("R-1").ended
    assert ended == Ended(outcome=Outcome.WITHDRAWN, sentence="Withdrawn by customer:C-1.")
    assert again == await merchant.books.read(ONE.cancellation_id)
    assert [notice.kind for notice in await books.notices(database)] == [NoticeKind.NOT_CANCELLED]

    await merchant.hold(OTHER)
    assert await frozen_by(database) == OTHER.cancellation_id


async def test_a_release_without_a_hold_does_nothing(merchant: Merchant, database: AsyncEngine) -> None:
    await built_in.add_order(database, order(), email=EMAIL)

    for opened in (ONE, cancellation(order("O-404"))):
        assert await merchant.books.release([RECEIVED], key=opened.key(StepName.RELEASE_ORDER), run=RUN) == ()

    assert await books.notices(database) == []
    await merchant.hold(ONE)
    assert await merchant.books.release([], key=OTHER.key(StepName.RELEASE_ORDER), run=RUN) == ()
    assert await frozen_by(database) == ONE.cancellation_id
    assert (await merchant.case(ONE)).ended is None


async def test_a_release_needs_a_cause_and_the_holder(merchant: Merchant, database: AsyncEngine) -> None:
    """M25"""
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.hold(ONE)
    key = ONE.key(StepName.RELEASE_ORDER)

    with pytest.raises(ValueError, match="no fact says why"):
        await merchant.books.release([], key=key, run=RUN)
    await merchant.withdraw(ONE)
    with pytest.raises(NotTheHolder):
        await merchant.books.release([], key=key, run=OTHER_RUN)

    assert (await merchant.case(ONE)).ended is None


async def test_a_late_repeat_of_the_hold_does_not_freeze_the_order_again(
    merchant: Merchant, database: AsyncEngine
) -> None:
    await built_in.add_order(database, order(), email=EMAIL)
    await merchant.hold(ONE)
    await merchant.release(ONE)

    with pytest.raises(NotTheHolder):
        await merchant.hold(ONE)

    assert await frozen_by(database) is None
