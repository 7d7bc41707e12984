"""The run as a page for a person: what the Temporal UI shows as its current details."""

from domain.outcome import Progress, State, Wait
from domain.request import CancellationRequest
from domain.step import StepStatus

_MARKS = {
    StepStatus.RUNNING: "▶",
    StepStatus.WAITING: "⏳",
    StepStatus.DONE: "✅",
    StepStatus.DECLINED: "↩",
    StepStatus.NEEDS_ATTENTION: "❗",
    StepStatus.RESOLVED: "☑",
    StepStatus.FAILED: "✖",
}


# One line a paragraph: the Temporal UI keeps line breaks.
_HOW_TO_STEER = "\n\n".join(
    (
        (
            "**Request Cancellation** in the menu of this page cancels *the cancellation*: everything done so far is rolled "
            "back, last step first, as long as the money has not begun to move. After that it has no effect. Once the order "
            "is closed, which is right after the credit note and before the refund has settled, nothing is rolled back."
        ),
        (
            "**Terminate** rolls nothing back: the order stays on hold and its parcels stay stopped until the request is "
            "sent again. Do not use it."
        ),
        (
            "To act, send the updates `approve`, `reject`, `withdraw`, `retry_step`, `resolve_step` and "
            "`choose_refund_method`, or use the command line: `starter.py status {order_id}` says what waits and how to go "
            "on."
        ),
    )
)


def summary_of(request: CancellationRequest) -> str:
    """What the run is about, in a line."""
    goods = "whole order" if request.whole_order else f"{len(request.lines)} lines"
    scope = "shipping charge alone" if request.shipping_alone else goods
    return f"Cancel order {request.order_id}: {scope}, {request.reason.replace('_', ' ')}"


def how_to_steer(order_id: str) -> str:
    """What a person can do with the run, and what they should not."""
    return _HOW_TO_STEER.format(order_id=order_id)


def describe(progress: Progress, rolled_back_because: str, ended: str) -> str:
    """The run as a page for a person, in the Markdown that the Temporal UI shows: lists, because it sets tables without
    space between the cells. `rolled_back_because` is empty unless the process rolls back, and `ended` until it has."""
    lines = [f"**{_words(progress.state)}** · cancellation `{progress.cancellation_id}`", ""]
    decided = progress.decision.sentence if progress.decision else ""
    if ended:
        lines += [ended, ""]
    elif decided and decided not in {wait.reason for wait in progress.waits}:
        lines += [decided, ""]
    if rolled_back_because:
        lines += [f"Rolled back because: {rolled_back_because}", ""]
    for wait in progress.waits:
        lines += [
            f"❗ Waits for **{_words(wait.owner)}**, due {wait.due_at:%Y-%m-%d %H:%M} UTC: {wait.reason}",
            "",
            *_commands(progress, wait),
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
        parts = [f"{_MARKS[row.status]} {_words(row.step)} {row.target}"]
        if (row.step, row.target) in waiting:
            parts.append("waits, see above")
        elif row.detail:
            parts.append(_cell(row.detail))
        if row.reference:
            parts.append(f"`{row.reference}`")
        lines.append(f"- {' · '.join(parts)}")
    lines += ["", *(f"- {entry.at:%Y-%m-%d %H:%M} {entry.actor}: {entry.action}" for entry in progress.actions)]
    return "\n".join(lines).rstrip()


def _commands(progress: Progress, wait: Wait) -> list[str]:
    """What a person types to go on."""
    order = progress.order_id
    if wait.state is State.WAITING_FOR_APPROVAL:
        return [f"`starter.py approve {order} --actor KIND:ID` or `starter.py reject {order} --actor KIND:ID`", ""]
    if wait.step:
        place = f"{order} --step {wait.step} --target {wait.target} --actor KIND:ID"
        ways = [f"`starter.py retry {place}` or `starter.py resolve {place} --resolution … --reference …`", ""]
        if wait.choices:
            methods = "|".join(wait.choices)
            choose = f"starter.py choose {order} --actor KIND:ID --tender {wait.target} --method {methods}"
            ways += [f"or, as the customer chooses, `{choose}`", ""]
        return ways
    return []


def _words(code: str) -> str:
    return code.replace("_", " ")


def _cell(text: str) -> str:
    return text.replace("\n", " ")
