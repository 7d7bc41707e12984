"""What the checks of the run, of its histories and of the answers see: I3, I6, I7, I8 and I10."""

from collections.abc import Mapping

import pytest

from domain.money import money
from domain.order import OrderFlag
from domain.outcome import Outcome, State
from domain.step import StepName
from sandbox.shop import request
from tests.faults import answers, invariants, runs
from tests.faults.broken import L2, Broken, by_others, given_back, two_lines, with_lines, with_run, with_said
from tests.faults.invariants import violations
from tests.faults.model import (
    Invariant,
    Said,
    Verb,
    World,
)
from tests.faults.world import Watched, read_world
from tests.system import AGENT, SUPERVISOR, System
from workflows.money import MoneySteps


def joined(world: World) -> World:
    return with_said(world, verb=Verb.SUBMIT, scope=(L2,), request_id="r-2", joined=True)


def approved_in_books(world: World) -> World:
    found = tuple(
        recorded.model_copy(update={"facts": (*recorded.facts, "approved")}) for recorded in world.cancellations
    )
    return world.model_copy(update={"cancellations": found})


def waiting(world: World, **changes: object) -> World:
    """For the refund department to act, and for the bank."""
    waits = (("bank", True), ("refund_department", True))
    waits_for = {
        "waits": waits,
        "needs_person": True,
        "most_urgent": ("refund_department",),
        "owner": "refund_department",
    }
    return with_run(world, status="running", state=State.NEEDS_ATTENTION, **{**waits_for, **changes})


def said(world: World, *verbs: Verb) -> World:
    return world.model_copy(update={"said": (*world.said, *(Said(verb=verb) for verb in verbs))})


def of_a_suspect(world: World) -> World:
    """Under fraud review, and asked for by one of the staff."""
    [recorded] = world.cancellations
    [request_id] = recorded.requests
    asked = Said(verb=Verb.SUBMIT, by=SUPERVISOR, request_id=request_id)
    order = world.order.model_copy(update={"flags": frozenset({OrderFlag.FRAUD_REVIEW})})
    return world.model_copy(update={"order": order, "said": (asked,)})


def joined_by_the_first(world: World) -> World:
    """A second cancellation, which the request of the first one joins."""
    [first] = world.cancellations
    second = first.model_copy(update={"cancellation_id": "can-2", "requests": ("r-2", *first.requests)})
    return world.model_copy(update={"cancellations": (first, second)})


BROKEN: Mapping[str, Broken] = {
    "refunded_to_a_suspect_and_nobody_has_seen_it": Broken(
        answers.a_suspects_money_was_seen, Invariant.ANSWERED, of_a_suspect
    ),
    "joined_another_scope": Broken(answers.joined_what_it_asked_for, Invariant.ANSWERED, joined),
    "a_request_of_an_ended_cancellation_joined_another_one": Broken(
        answers.has_its_own_cancellation, Invariant.ANSWERED, joined_by_the_first
    ),
    "the_list_names_another_wait": Broken(
        runs.over_or_visible,
        Invariant.VISIBLE,
        lambda world: with_run(world, status="running", state="running", needs_person=True),
    ),
    "waits_for_nobody": Broken(
        runs.over_or_visible, Invariant.VISIBLE, lambda world: with_run(world, status="running", waits=())
    ),
    "its_task_fails": Broken(
        runs.over_or_visible, Invariant.VISIBLE, lambda world: with_run(world, status="running", task_fails=True)
    ),
    "another_word_in_the_list": Broken(
        runs.all_say_the_same, Invariant.TERMINAL, lambda world: with_run(world, state="rejected")
    ),
    "another_amount_in_the_result": Broken(
        runs.all_say_the_same, Invariant.TERMINAL, lambda world: with_run(world, refunded=money("1.00 USD"))
    ),
    "no_amount_in_the_result": Broken(
        runs.all_say_the_same, Invariant.TERMINAL, lambda world: with_run(world, refunded=None)
    ),
    "another_owner_in_the_list": Broken(
        runs.over_or_visible, Invariant.VISIBLE, lambda world: waiting(world, owner="warehouse")
    ),
    "no_owner_in_the_list": Broken(runs.over_or_visible, Invariant.VISIBLE, lambda world: waiting(world, owner=None)),
    "still_somebodys_in_the_list": Broken(
        runs.all_say_the_same, Invariant.TERMINAL, lambda world: with_run(world, owner="warehouse")
    ),
    "still_held": Broken(
        runs.all_say_the_same, Invariant.TERMINAL, lambda world: world.model_copy(update={"held_by": "can-1"})
    ),
    "lines_without_a_cancellation": Broken(
        runs.all_say_the_same,
        Invariant.TERMINAL,
        lambda world: world.model_copy(
            update={
                "cancellations": tuple(
                    found.model_copy(update={"outcome": Outcome.REJECTED}) for found in world.cancellations
                )
            }
        ),
    ),
    "a_proof_that_no_book_has": Broken(
        answers.acknowledged_has_effect,
        Invariant.ANSWERED,
        lambda world: with_said(world, verb=Verb.DONE_BY_HAND, proof="REF-1"),
    ),
    "kept_and_never_decided": Broken(
        answers.what_was_kept_is_decided,
        Invariant.TERMINAL,
        lambda world: with_said(
            with_lines(world, L1=2), verb=Verb.SUBMIT, scope=(L2,), request_id="r-2", deferred=True
        ),
    ),
    "an_email_address_in_a_failure": Broken(
        invariants.shows_nothing_confidential,
        Invariant.CONFIDENTIAL,
        lambda world: world.model_copy(update={"leaks": ("the failure of event 3 shows 'jo@customer.example'",)}),
    ),
    "an_approval_without_effect": Broken(
        answers.acknowledged_has_effect, Invariant.ANSWERED, lambda world: said(world, Verb.APPROVE)
    ),
    "withdrawn_and_cancelled": Broken(
        answers.acknowledged_has_effect, Invariant.ANSWERED, lambda world: said(world, Verb.WITHDRAW)
    ),
    "above_the_limit_without_a_second_person": Broken(
        answers.seen_by_a_second_person,
        Invariant.ANSWERED,
        lambda world: given_back(world, 500_000),
    ),
    "above_the_limit_by_the_word_of_the_books_that_it_was_approved": Broken(
        answers.seen_by_a_second_person,
        Invariant.ANSWERED,
        lambda world: approved_in_books(given_back(world, 500_000)),
    ),
    "above_the_limit_while_others_gave_a_cent": Broken(
        answers.seen_by_a_second_person,
        Invariant.ANSWERED,
        lambda world: by_others(given_back(world, 500_000), amount=1),
    ),
    "a_history_that_does_not_replay": Broken(
        invariants.every_history_replays,
        Invariant.REPLAY,
        lambda world: world.model_copy(update={"failed_replays": ("event 7 is another one",)}),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_check_sees_what_it_is_there_for(sound: World, name: str) -> None:
    BROKEN[name].assert_seen_in(sound)


async def test_a_wait_whose_owner_is_shown_breaks_nothing(sound: World) -> None:
    assert violations(waiting(sound), [runs.over_or_visible, runs.all_say_the_same]) == []


async def nothing(*_: object) -> None:
    return None


async def test_a_history_that_does_not_replay_is_seen(
    real_time_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: also that of a run which has ended, and which another one has followed."""
    system = real_time_system
    order = await system.shop.place_order(sample := two_lines())
    watched = Watched(order, [Said(verb=Verb.SUBMIT)])
    async with system.worker():
        await system.cancel(request(sample))
        await system.cancel(request(sample, request_id="another"))
    assert violations(await read_world(system, watched)) == []
    monkeypatch.setattr(MoneySteps, "credit_refund", nothing)
    found = violations(await read_world(system, watched))
    assert [violation.invariant for violation in found] == [Invariant.REPLAY]


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.RETRY])
def test_a_second_person_sees_a_suspects_money(sound: World, verb: Verb) -> None:
    """Who has asked for the cancellation is none, nor is who has seen another tender, or another cancellation."""
    world, checks = of_a_suspect(sound), [answers.a_suspects_money_was_seen]
    ordered = {"verb": verb, "step": StepName.REVERSE_PAYMENT, "target": "T1", "accepted": True}
    another = {"step": StepName.CLOSE_ORDER} if verb is Verb.RETRY else {"cancellation": "can-2"}
    for nobody in (with_said(world, **ordered, by=SUPERVISOR), with_said(world, **{**ordered, **another}, by=AGENT)):
        assert {found.invariant for found in violations(nobody, checks)} == {Invariant.ANSWERED}
    assert violations(with_said(world, **ordered, by=AGENT), checks) == []
