"""One attempt of a step: what it notes and when, and when it does not call the provider any more."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.attempt import EffectAnswer, begin_attempt
from activities.payments import PaymentActivities
from activities.signatures import Booked, Look, StepInput
from domain.case import Case
from domain.errors import ErrorCode, OutcomeUnknown, Refused, StepError, Unavailable
from domain.facts import (
    EffectEnded,
    EffectNoted,
    EffectOutcome,
    Entry,
    Fact,
    RefundSeen,
    RollBackOrdered,
    WithdrawalAsked,
)
from domain.holder import NotTheHolder
from domain.money import money
from domain.payment import Refund, RefundStatus
from domain.step import StepName
from providers.gateway.stripe import StripeGateway
from sandbox.gateway.messages import EffectKind
from sandbox.gateway_admin import GatewayAdmin
from tests.activities.samples import ATTEMPT, Begun, attempt, begin, payments_at, planned
from tests.fixtures.gateway import GatewaySandbox
from tests.providers.merchant import OTHER_RUN

AMOUNT = money("20.00 USD")
LATE = timedelta(seconds=1)
REFUND = Refund(reference="re_1", amount=AMOUNT, status=RefundStatus.SUCCEEDED)


@pytest.fixture
def admin(gateway_sandbox: GatewaySandbox) -> GatewayAdmin:
    return gateway_sandbox.admin


@pytest.fixture
def payments(gateway: StripeGateway, database: AsyncEngine) -> PaymentActivities:
    return payments_at(database, gateway)


@pytest.fixture
async def begun(database: AsyncEngine) -> Begun:
    return await begin(database, planned("pi_of_nobody", refund=str(AMOUNT)))


@pytest.fixture
async def captured(database: AsyncEngine, admin: GatewayAdmin) -> tuple[Begun, str]:
    """With its payment at the gateway."""
    payment = await admin.create_payment(AMOUNT, capture=AMOUNT)
    return await begin(database, planned(payment, refund=str(AMOUNT))), payment


class Provider:
    """Counts the calls, and keeps what the books knew at the moment of each; answers or raises `outcome`."""

    def __init__(self, begun: Begun, outcome: Exception | None = None) -> None:
        self._begun = begun
        self._outcome = outcome
        self.known_at_call: list[Case] = []

    async def __call__(self) -> Refund:
        self.known_at_call.append(await self._begun.case())
        if self._outcome:
            raise self._outcome
        return REFUND


async def nothing() -> None:
    """Nothing happens meanwhile."""


def acting(
    begun: Begun, provider: Callable[[], Awaitable[Refund]], between: Callable[[], Awaitable[None]] = nothing
) -> Callable[[StepInput], Awaitable[Booked]]:
    """A step that has one effect at the provider. `between` is what happens after it has read the books."""

    async def act(step: StepInput) -> Booked:
        async with begin_attempt(begun.books, step) as one:
            await between()
            await one.make_effect(
                step.key,
                provider,
                lambda refund: EffectAnswer(refund.reference, "made", (RefundSeen(target=step.target, refund=refund),)),
                amount=AMOUNT,
            )
            return await one.answer()

    return act


async def since(begun: Begun, step: StepInput) -> list[Fact]:
    """What the books have learnt since the run ordered the step."""
    return [entry.fact for entry in await begun.books.read(begun.cancellation_id, after=step.last_seq)]


def noted(step: StepInput) -> EffectNoted:
    return EffectNoted(key=step.key, amount=AMOUNT)


def ended(step: StepInput, outcome: EffectOutcome, detail: str, reference: str | None = None) -> EffectEnded:
    return EffectEnded(key=step.key, outcome=outcome, reference=reference, detail=detail)


# What is noted, and when


async def test_an_effect_is_noted_before_the_provider_is_called_and_its_outcome_after(begun: Begun) -> None:
    step = await begun.step(StepName.REVERSE_PAYMENT)
    provider = Provider(begun)
    answer = await attempt(acting(begun, provider), step)

    [known] = provider.known_at_call
    assert [entry.fact for entry in known.entries[step.last_seq :]] == [noted(step)]
    done = ended(step, EffectOutcome.DONE, "made", "re_1")
    assert await since(begun, step) == [noted(step), RefundSeen(target="T1", refund=REFUND), done]
    assert answer.entries == await begun.books.read(begun.cancellation_id, after=step.last_seq)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (OutcomeUnknown("The answer was lost."), EffectOutcome.UNKNOWN),
        (Refused(ErrorCode.REFUND_REFUSED, "The card has expired."), EffectOutcome.REFUSED),
    ],
    ids=["lost", "refused"],
)
async def test_a_lost_answer_and_a_refusal_are_kept_and_the_run_hears_of_them(
    begun: Begun, answer: StepError, outcome: EffectOutcome
) -> None:
    """B18: what is unknown is known to be unknown; only a confirmed failure gives the next effect another key."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    provider = Provider(begun, answer)
    with pytest.raises(StepError) as raised:
        await attempt(acting(begun, provider), step)

    assert raised.value is answer
    assert len(provider.known_at_call) == 1
    assert await since(begun, step) == [noted(step), ended(step, outcome, answer.message)]
    assert heard(raised.value) == await begun.books.read(begun.cancellation_id, after=step.last_seq)
    case = await begun.case()
    assert bool(case.unknown_effects("T1")) is (outcome is EffectOutcome.UNKNOWN)
    assert (case.key_of(step.key.step, "T1") == step.key) is (outcome is EffectOutcome.UNKNOWN)


def heard(error: StepError) -> tuple[Entry, ...]:
    assert isinstance(error.booked, Booked)
    return error.booked.entries


@pytest.mark.parametrize("failure", [Unavailable("The gateway is busy."), RuntimeError("a bug")], ids=["busy", "bug"])
async def test_what_ends_without_an_outcome_stays_noted_as_possible(begun: Begun, failure: Exception) -> None:
    """A compensation cannot forget it, and the next attempt acts under the same key."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(type(failure)):
        await attempt(acting(begun, Provider(begun, failure)), step)

    assert await since(begun, step) == [noted(step)]
    case = await begun.case()
    assert case.unknown_effects("T1") == (step.key,)
    assert (StepName.REVERSE_PAYMENT, "T1") in case.steps_to_undo()
    assert case.key_of(StepName.REVERSE_PAYMENT, "T1") == step.key


async def test_a_second_attempt_notes_nothing_again(begun: Begun) -> None:
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(Unavailable):
        await attempt(acting(begun, Provider(begun, Unavailable("busy"))), step)
    await attempt(acting(begun, Provider(begun)), step)

    assert [fact for fact in await since(begun, step) if isinstance(fact, EffectNoted)] == [noted(step)]


# Effects that have ended


@pytest.mark.parametrize("outcome", [EffectOutcome.DONE, EffectOutcome.REFUSED, EffectOutcome.FAILED])
async def test_an_effect_that_has_ended_is_not_made_again(begun: Begun, outcome: EffectOutcome) -> None:
    """Rule 11, I5: another attempt has made it after this one had read the books. What came of it is known from there; who
    does not see it at the provider begins anew."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    provider = Provider(begun)
    came_of_it = ended(step, outcome, "by another attempt", "re_1")

    async def act(step: StepInput) -> Booked:
        async with begin_attempt(begun.books, step) as one:
            await begun.merchant.write(
                begun.cancellation, noted(step), RefundSeen(target="T1", refund=REFUND), came_of_it
            )

            def describe(refund: Refund) -> EffectAnswer:
                return EffectAnswer(refund.reference)

            assert await one.make_effect(step.key, provider, describe) == came_of_it
            assert one.case.reversal("T1").live_refunds == (REFUND,)
            await one.make_effect(step.key, provider, describe)
            return await one.answer()

    with pytest.raises(Unavailable) as not_seen:
        await attempt(act, step)
    assert "does not show yet" in not_seen.value.message
    assert provider.known_at_call == []
    assert await since(begun, step) == [noted(step), RefundSeen(target="T1", refund=REFUND), came_of_it]


async def test_an_effect_whose_answer_was_lost_is_made_again_under_its_key(begun: Begun) -> None:
    """Rule 5"""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(OutcomeUnknown):
        await attempt(acting(begun, Provider(begun, OutcomeUnknown("The answer was lost."))), step)
    provider = Provider(begun)
    await attempt(acting(begun, provider), step)
    assert len(provider.known_at_call) == 1


# Roll-back


async def test_an_attempt_makes_nothing_once_the_roll_back_is_ordered(begun: Begun) -> None:
    """Rule 11, I9: it was held up between its look at the books and its call; the order and its note lock the same row."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    provider = Provider(begun)

    async def withdrawn() -> None:
        await begun.merchant.write(begun.cancellation, WithdrawalAsked(by=begun.cancellation.request.actor))

    with pytest.raises(Refused) as undone:
        await attempt(acting(begun, provider, withdrawn), step)
    assert undone.value.code is ErrorCode.ROLLED_BACK
    assert "Withdrawn by" in undone.value.message
    assert provider.known_at_call == []
    assert [entry.fact.kind for entry in heard(undone.value)] == ["withdrawal_asked"]
    await attempt(acting(begun, provider), await begun.step(StepName.RESTORE_PAYMENT))
    assert len(provider.known_at_call) == 1, "its undoing is made"


async def test_an_attempt_makes_nothing_again_once_the_roll_back_is_ordered(begun: Begun) -> None:
    """Also what was noted before."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(Unavailable):
        await attempt(acting(begun, Provider(begun, Unavailable("The gateway is busy."))), step)
    await begun.merchant.write(begun.cancellation, RollBackOrdered(sentence="Rolled back."))
    provider = Provider(begun)
    with pytest.raises(Refused):
        await attempt(acting(begun, provider), step)
    assert provider.known_at_call == []


# Late attempts


async def test_a_late_attempt_calls_no_provider(begun: Begun) -> None:
    """E19: its worker was paused; another attempt, or a compensation, may have gone on in its place."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    provider = Provider(begun)
    with pytest.raises(Unavailable) as late:
        await attempt(acting(begun, provider), step, begun=datetime.now(UTC) - ATTEMPT - LATE)

    assert "held up" in late.value.message
    assert provider.known_at_call == []
    assert heard(late.value) == await begun.books.read(begun.cancellation_id, after=step.last_seq)


async def test_a_late_attempt_moves_no_money_and_the_next_one_does_it_once(
    payments: PaymentActivities, captured: tuple[Begun, str], admin: GatewayAdmin
) -> None:
    begun, payment = captured
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(Unavailable):
        await attempt(payments.reverse_payment, step, begun=datetime.now(UTC) - ATTEMPT - LATE)
    assert await admin.effects(payment, EffectKind.REFUND_CREATED) == []

    await attempt(payments.reverse_payment, step)
    assert [effect.amount for effect in await admin.effects(payment, EffectKind.REFUND_CREATED)] == [2000]


async def test_an_undo_waits_until_an_attempt_without_an_end_cannot_call_any_more(
    payments: PaymentActivities, captured: tuple[Begun, str]
) -> None:
    """I9: what is looked at too early is not undone."""
    begun, _ = captured
    step = await begun.step(StepName.REVERSE_PAYMENT)
    began = datetime.now(UTC)
    with pytest.raises(RuntimeError):
        await attempt(acting(begun, Provider(begun, RuntimeError("killed"))), step, begun=began)

    undo = await begun.step(StepName.RESTORE_PAYMENT)
    with pytest.raises(Unavailable) as early:
        await attempt(payments.restore_payment, undo)
    assert early.value.retry_after is not None
    assert 0 < early.value.retry_after <= ATTEMPT.total_seconds()
    assert await begun.books.quiet_after(begun.cancellation_id) == began + ATTEMPT
    assert await since(begun, undo) == []


async def test_an_undo_waits_for_an_attempt_that_another_one_has_followed(
    payments: PaymentActivities, captured: tuple[Begun, str]
) -> None:
    """I2, I9: the first one stands still right before its call, and the second one makes the effect. What is undone before
    the first one has run out of time, that one would do again: a carrier knows no keys."""
    begun, _ = captured
    step = await begun.step(StepName.REVERSE_PAYMENT)
    began = datetime.now(UTC)
    with pytest.raises(RuntimeError):
        await attempt(acting(begun, Provider(begun, RuntimeError("killed"))), step, begun=began)
    await attempt(acting(begun, Provider(begun)), step)

    with pytest.raises(Unavailable) as early:
        await attempt(payments.restore_payment, await begun.step(StepName.RESTORE_PAYMENT))
    assert early.value.retry_after is not None
    assert 0 < early.value.retry_after <= ATTEMPT.total_seconds()
    assert await begun.books.quiet_after(begun.cancellation_id, all_known=True) == began + ATTEMPT


async def test_an_undo_does_not_wait_for_an_attempt_whose_end_is_noted(begun: Begun) -> None:
    """Nor for a later one, which has found that end and calls nobody."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    for _ in range(2):
        await attempt(acting(begun, Provider(begun)), step)
    assert await begun.books.quiet_after(begun.cancellation_id, all_known=True) <= datetime.now(UTC)


async def test_an_undo_does_not_wait_for_an_attempt_that_can_call_no_more(
    payments: PaymentActivities, captured: tuple[Begun, str], admin: GatewayAdmin
) -> None:
    begun, payment = captured
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(Unavailable):
        await attempt(payments.reverse_payment, step, begun=datetime.now(UTC) - ATTEMPT - LATE)

    await attempt(payments.restore_payment, await begun.step(StepName.RESTORE_PAYMENT))
    assert (await begun.case()).is_done(StepName.RESTORE_PAYMENT, "T1")
    assert await admin.effects(payment, EffectKind.REFUND_CREATED) == []


async def test_a_refund_whose_answer_was_lost_is_not_taken_for_failed_while_it_may_still_arrive(
    payments: PaymentActivities, captured: tuple[Begun, str]
) -> None:
    """B18: the gateway may commit after we have given up waiting. It is a failure only when the attempt's time is over,
    because the next refund has the next key."""
    begun, _ = captured
    step = await begun.step(StepName.REVERSE_PAYMENT)
    with pytest.raises(OutcomeUnknown):
        await attempt(acting(begun, Provider(begun, OutcomeUnknown("The answer was lost."))), step)

    with pytest.raises(Unavailable) as early:
        await attempt(payments.check_refund, Look(**dict(await begun.step(StepName.CHECK_REFUND))))
    assert early.value.retry_after is not None
    case = await begun.case()
    assert case.unknown_effects("T1") == (step.key,)
    assert case.key_of(StepName.REVERSE_PAYMENT, "T1") == step.key


# Runs that do not hold the cancellation


async def test_a_run_that_is_not_the_holder_writes_nothing_and_calls_nobody(begun: Begun) -> None:
    """M25: it was lost and taken over from, and its worker does not know."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    before = (await begun.case()).entries
    provider = Provider(begun)
    with pytest.raises(NotTheHolder) as other:
        await attempt(acting(begun, provider), step, OTHER_RUN)

    assert other.value.holder == (await begun.case()).holder
    assert provider.known_at_call == []
    assert (await begun.case()).entries == before


async def test_a_run_that_is_not_the_holder_moves_no_money(
    payments: PaymentActivities, captured: tuple[Begun, str], admin: GatewayAdmin
) -> None:
    begun, payment = captured
    step = await begun.step(StepName.REVERSE_PAYMENT)
    before = (await begun.case()).entries
    with pytest.raises(NotTheHolder):
        await attempt(payments.reverse_payment, step, OTHER_RUN)

    assert await admin.effects(payment, EffectKind.REFUND_CREATED) == []
    assert (await begun.case()).entries == before


async def test_an_attempt_that_is_taken_over_from_before_its_call_does_not_make_it(begun: Begun) -> None:
    """Its note and the take-over lock the same row: either the note is seen, or the call is not made."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    provider = Provider(begun)

    async def taken_over() -> None:
        await begun.books.take_up(begun.cancellation_id, OTHER_RUN)

    with pytest.raises(NotTheHolder) as lost:
        await attempt(acting(begun, provider, taken_over), step)
    assert lost.value.holder == OTHER_RUN
    assert provider.known_at_call == []
    assert (await begun.case()).keys_noted(StepName.REVERSE_PAYMENT, target="T1") == ()


async def test_an_attempt_that_is_taken_over_from_during_its_call_writes_no_outcome(begun: Begun) -> None:
    """The new run knows from the note that the effect may have happened, and looks it up."""
    step = await begun.step(StepName.REVERSE_PAYMENT)

    async def slow() -> Refund:
        await begun.books.take_up(begun.cancellation_id, OTHER_RUN)
        return REFUND

    with pytest.raises(NotTheHolder):
        await attempt(acting(begun, slow), step)
    case = await begun.case()
    assert case.holder == OTHER_RUN
    assert case.unknown_effects("T1") == (step.key,)


async def test_nobody_writes_after_the_end(begun: Begun) -> None:
    """The run that has ended it hears what the books have: its last task was repeated, or this attempt is late."""
    step = await begun.step(StepName.REVERSE_PAYMENT)
    await begun.merchant.end(begun.cancellation)
    before = (await begun.case()).entries
    provider = Provider(begun)
    with pytest.raises(Refused) as over:
        await attempt(acting(begun, provider), step)

    assert (over.value.code, over.value.booked) == (ErrorCode.HAS_ENDED, Booked(entries=before[step.last_seq :]))
    assert provider.known_at_call == []
    assert (await begun.case()).entries == before
