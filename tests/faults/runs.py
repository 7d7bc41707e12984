"""The run: I3 and I6."""

from collections.abc import Iterator

from domain.outcome import State
from tests.faults.model import Invariant, Verb, World


def over_or_visible(world: World) -> Iterator[tuple[Invariant, str]]:
    """Each accepted request has an outcome, or waits where it can be seen, for somebody, until some time."""
    run = world.run
    asked = any(said.verb is Verb.SUBMIT and said.accepted for said in world.said)
    if run is None:
        if asked and not world.cancellations:
            yield Invariant.TERMINAL, "a request was accepted, and no run and no cancellation is there"
        return
    if run.task_fails:
        yield Invariant.VISIBLE, "the run's own task fails"
    lost = world.has_said(Verb.TERMINATE)
    if run.status == "running":
        if not run.waits and not run.pending:
            yield Invariant.VISIBLE, f"the run is {run.state} and waits for nobody"
        if run.needs_person and run.state != State.NEEDS_ATTENTION:
            yield Invariant.VISIBLE, f"a person is waited for, and the list of runs says {run.state}"
        if run.waits and run.owner not in run.most_urgent:
            yield (
                Invariant.VISIBLE,
                f"it waits for {' and '.join(run.most_urgent)}, and the list of runs says {run.owner}",
            )
        for owner, due in run.waits:
            if not owner or not due:
                yield Invariant.TERMINAL, f"it waits for {owner or 'nobody'}, {'' if due else 'not '}with a due time"
    elif world.is_open and not lost:
        yield Invariant.TERMINAL, f"the run is {run.status}, and the register has an open cancellation"


def all_say_the_same(world: World) -> Iterator[tuple[Invariant, str]]:
    """Result, register, search attributes and order management system."""
    run = world.run
    if run is None or run.status not in {"completed", "failed"} or not world.cancellations:
        return
    if run.owner is not None:
        yield Invariant.TERMINAL, f"the run is over, and the list of runs says that it waits for {run.owner}"
    if run.outcome is not None and not run.existing:
        recorded = {cancellation.cancellation_id: cancellation for cancellation in world.cancellations}
        in_books = recorded.get(run.cancellation_id or world.cancellations[-1].cancellation_id)
        if in_books is not None and in_books.outcome is not None and not run.unbooked:
            if in_books.outcome is not run.outcome:
                yield Invariant.TERMINAL, f"the run says {run.outcome}, the register {in_books.outcome}"
            if in_books.refunded != run.refunded:
                yield (
                    Invariant.TERMINAL,
                    f"the run says that {run.refunded} went back, the register {in_books.refunded}",
                )
        if run.state not in {run.outcome.value, None}:
            yield Invariant.TERMINAL, f"the run says {run.outcome}, its search attribute {run.state}"
    if not world.is_open and world.held_by is not None:
        yield Invariant.TERMINAL, f"the order is still held by {world.held_by}"
    gone = dict(world.cancelled)
    if not world.carried_out and any(gone.values()) and not world.is_open:
        yield Invariant.TERMINAL, f"units left the order ({gone}), and no cancellation was carried out"
