"""The run as a page for a person: what the Temporal UI shows as its current details."""

import json
from collections.abc import Iterator, Mapping

from pydantic import TypeAdapter, ValidationError

from domain.base import Value
from domain.case import Case
from domain.facts import Written
from domain.messages import Approve, ChooseRefundMethod, Reject, Resolution, ResolveStep, RetryStep, Withdraw
from domain.money import Money
from domain.outcome import Progress, State, Wait
from domain.permissions import NotPossible, permit
from domain.request import Actor, ActorKind, scope_of
from domain.said import Steering, fact_about, fact_of
from domain.step import MONEY_STEPS, StepName, StepStatus
from domain.texts import Target

# Characters that any font has: the UI brings none of its own.
MARKS = {
    StepStatus.RUNNING: "▶",
    StepStatus.WAITING: "…",
    StepStatus.DONE: "✔",
    StepStatus.DECLINED: "↩",
    StepStatus.NEEDS_ATTENTION: "⚠",
    StepStatus.RESOLVED: "☑",
    StepStatus.FAILED: "✖",
}

_TARGET: TypeAdapter[str] = TypeAdapter(Target)
_CLERK = Actor(kind=ActorKind.REFUND_DEPARTMENT, id="YOUR-ID")
_OPEN = "…"
"""Stands in an update where a person writes their own. It is neither an id nor a proof: left as it is, it is refused."""

_PROOF = "PROOF"
"""Stands for the proof in a message that is made to see whether it would be taken."""

_HOW_TO_ANSWER = (
    "To answer, send an update: **More Actions**, **Send an Update**, then its name and, under *Data*, its line, with your "
    f"own id, and the proof where one is wanted, in place of each `{_OPEN}`."
)


def describe_request(case: Case) -> str:
    """Who asked for what, and when; empty: nothing is kept of it yet."""
    request, at = case.request, case.requested_at
    if request is None or at is None:
        return ""
    others = [str(other.actor) for other in case.requests if other.request_id != request.request_id]
    joined = f" Joined by {', '.join(others)}." if others else ""
    return f"Requested by {request.actor}, {at:%Y-%m-%d %H:%M} UTC: {scope_of(request)}.{joined}"


def describe_money(case: Case) -> list[str]:
    """By tender: what has gone back, what is on its way, and, until the end, what is still to go back."""
    lines = []
    for reversal in case.reversals:
        planned = reversal.planned
        parts = [
            f"{amount} {word}"
            for amount, word in (
                (reversal.kept - reversal.pending, "refunded"),
                (reversal.pending, "on its way to the customer"),
                (reversal.reservation_released, "released"),
            )
            if amount.amount > 0
        ]
        if not (case.ended or case.roll_back_cause):
            if parts:
                parts += [f"{reversal.outstanding} still to go back"] if reversal.outstanding else []
            else:
                parts = [f"{amount} to be {word}" for word, amount in _amounts(planned.refund, planned.release)]
        if parts:
            lines.append(f"{_words(planned.tender.kind)} {_plain(reversal.tender_id)}: {', '.join(parts)}")
    return lines


def _amounts(refund: Money, release: Money) -> list[tuple[str, Money]]:
    return [(word, amount) for word, amount in (("refunded", refund), ("released", release)) if amount]


# Rule: The page of a run is made of its case
def describe(progress: Progress, case: Case) -> str:
    """The run as a page for a person, in the Markdown that the Temporal UI shows: lists, because it sets tables without
    space between the cells. After the end it says what happened, and nothing of what was to be done."""
    cause, ended = case.roll_back_cause, case.ended
    lines = [
        f"**{_words(progress.state)}** · cancellation `{progress.cancellation_id}`",
        "",
        _plain(describe_request(case)),
        "",
    ]
    is_answered = case.approved or cause is not None
    decided = progress.decision.describe(is_answered=is_answered) if progress.decision else ""
    if ended:
        lines += [_plain(ended.sentence), ""]
    elif decided and decided not in {wait.reason for wait in progress.waits}:
        lines += [_plain(decided), ""]
    if cause and not (ended and ended.sentence == cause.sentence):
        lines += [f"Rolled back because: {_plain(cause.sentence)}", ""]
    lines += [*(f"- {line}" for line in describe_money(case)), ""]
    for wait in progress.waits:
        lines += [
            f"⚠ Waits for **{_words(wait.owner)}**, due {wait.due_at:%Y-%m-%d %H:%M} UTC: {_plain(wait.reason)}",
            "",
            *_describe_answers(progress, case, wait),
        ]
    lines += [
        f"goods: **{_words(progress.goods)}** · money: **{_words(progress.money)}** · paper: **{_words(progress.paper)}**",
        "",
    ]
    if progress.refund_due and progress.money_is_owed:
        law = progress.refund_due
        lines += [f"By law the money is due {law.at:%Y-%m-%d %H:%M} UTC ({law.law}).", ""]
    waiting = {(wait.step, wait.target) for wait in progress.waits}
    for row in progress.steps:
        parts = [f"{MARKS[row.status]} {_words(row.step)} {_plain(row.target)}"]
        if (row.step, row.target) in waiting:
            parts.append("waits, see above")
        elif row.detail:
            parts.append(_plain(row.detail))
        if row.reference:
            parts.append(f"`{_code(row.reference)}`")
        lines.append(f"- {' · '.join(parts)}")
    lines += [
        "",
        *(
            f"- {entry.at:%Y-%m-%d %H:%M} {_plain(str(entry.actor))}: {_plain(entry.action)}"
            for entry in progress.actions
        ),
    ]
    return "\n".join(lines).rstrip()


class _Answer(Value):
    """One answer to a wait: the update, and what it says."""

    update: str
    message: Steering
    means: str


_BY_HAND: Mapping[StepName, tuple[str, str]] = {
    **dict.fromkeys(
        MONEY_STEPS, ("The customer has the money another way", "Nothing is owed to the customer any more")
    ),
    StepName.CHECK_REFUND: ("You have collected it", "The customer keeps it"),
    StepName.RESTORE_PAYMENT: ("You have collected it", "Nothing is to be collected"),
    StepName.STOP_SHIPMENT: ("The parcel is stopped", "The parcel goes on to the customer"),
}
"""What `done_by_hand` and `nothing_due` mean for a step."""
_FETCHED = ("You have fetched the goods", "The goods are written off")
"""What they mean for a parcel whose money is on its way back already."""


def _describe_answers(progress: Progress, case: Case, wait: Wait) -> list[str]:
    """What a person sends to go on, and only what would be taken."""
    order_id = progress.order_id
    several = len([other for other in progress.waits if other.step]) > 1
    answers = [
        answer for answer in _list_answers(case, wait, named=several) if _may_be_sent(case, answer, wait, order_id)
    ]
    lines = []
    if wait.state in {State.WAITING_FOR_CARRIER, State.WAITING_FOR_SETTLEMENT} or not answers:
        lines += ["Nothing has to be done: this is looked at again by itself.", ""]
    if not answers:
        return lines
    lines += [_HOW_TO_ANSWER, ""]
    for answer in answers:
        lines += [f"- **{answer.update}**: {answer.means}.  ", f"  `{_code(_json_of(answer.message))}`"]
    return [*lines, ""]


def _list_answers(case: Case, wait: Wait, *, named: bool) -> Iterator[_Answer]:
    """`named`: several steps wait, so the message names its own."""
    withdraw = _Answer(update="withdraw", message=Withdraw(actor=_CLERK), means="The customer wants to keep the order")
    if wait.state is State.WAITING_FOR_APPROVAL:
        yield _Answer(
            update="approve", message=Approve(actor=_CLERK), means="Go on. Whoever requested it cannot approve it"
        )
        yield _Answer(update="reject", message=Reject(actor=_CLERK), means="Refuse it, and undo what was done")
        yield withdraw
        return
    step, target = wait.step, wait.target
    if step is None or target is None or step is StepName.RECORD_DECISION:
        return
    can_be_named = _can_be_named(target)
    if named and not can_be_named:
        return
    for method in wait.choices if can_be_named else ():
        message = ChooseRefundMethod(actor=_CLERK, target=target, method=method)
        yield _Answer(update="choose_refund_method", message=message, means=f"The customer chooses {_words(method)}")
    place = {"step": step, "target": target} if named else {}
    again = "Try it again now" if wait.state is State.NEEDS_ATTENTION else "Look again now"
    yield _Answer(update="retry_step", message=RetryStep(actor=_CLERK, **place), means=again)
    disputed = case.reversal(target) if step in MONEY_STEPS and case.planned(target) else None
    for number in disputed.dispute_numbers if disputed else ():
        resolve = ResolveStep(actor=_CLERK, resolution=Resolution.DONE_BY_HAND, reference=number, **place)
        yield _Answer(update="resolve_step", message=resolve, means=f"The bank pays the customer by dispute {number}")
    done, needless = _BY_HAND.get(step, ("It was done outside", "It need not be done any more"))
    if step is StepName.STOP_SHIPMENT and case.past_pivot:
        done, needless = _FETCHED
    for resolution, means in (
        (Resolution.DONE_BY_HAND, f"{done}; the proof says how"),
        (Resolution.NOTHING_DUE, f"{needless}; the proof says who decided so"),
        (Resolution.ROLL_BACK, "Undo the whole cancellation; the proof says who decided so"),
    ):
        resolve = ResolveStep(actor=_CLERK, resolution=resolution, reference=_PROOF, **place)
        yield _Answer(update="resolve_step", message=resolve, means=means)
    if not case.past_pivot:
        yield withdraw


def _can_be_named(target: str) -> bool:
    """Whether a message can name it. The ids of parcels and tenders are the shop's, and may be anything."""
    try:
        return _TARGET.validate_python(target) == target
    except ValidationError:
        return False


def _may_be_sent(case: Case, answer: _Answer, wait: Wait, order_id: str) -> bool:
    """By the rules that will be asked when somebody sends it."""
    try:
        permit(case, _fact_of(answer.message, wait), order_id)
    except NotPossible:
        return False
    return True


def _fact_of(message: Steering, wait: Wait) -> Written:
    if not isinstance(message, RetryStep | ResolveStep):
        return fact_of(message)
    assert wait.step is not None
    assert wait.target is not None
    return fact_about(message, wait.step, wait.target)


def _json_of(message: Steering) -> str:
    """As it is pasted, with what a person puts in left open."""
    fields = message.model_dump(mode="json", exclude_defaults=True)
    fields["actor"] = f"{message.actor.kind}:{_OPEN}"
    if fields.get("reference") == _PROOF:
        fields["reference"] = _OPEN
    return json.dumps(fields, ensure_ascii=False).replace("`", "\\u0060")  # it would end what is shown as it is


def _words(code: str) -> str:
    return code.replace("_", " ")


def _code(text: str) -> str:
    """Within back quotes."""
    return text.replace("`", "'").replace("\n", " ")


def _plain(text: str) -> str:
    """A text that somebody else may have written a part of, in one line: no link, picture, HTML or code comes of it."""
    return _code(text).replace("[", "\\[").replace("<", "&lt;")
