"""The run as a page for a person: what the Temporal UI shows as its current details."""

from domain.case import Case
from domain.money import Money
from domain.outcome import Progress, State, Wait
from domain.request import scope_of
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


_COMMAND = ".venv/bin/python starter.py"
"""As docs/operations.md writes it: a worker does not know how the reader calls it."""


def asked(case: Case) -> str:
    """Who asked for what, and when; empty: nothing is kept of it yet."""
    request, at = case.request, case.requested_at
    if request is None or at is None:
        return ""
    others = [str(other.actor) for other in case.requests if other.request_id != request.request_id]
    joined = f" Joined by {', '.join(others)}." if others else ""
    return f"Asked for by {request.actor}, {at:%Y-%m-%d %H:%M} UTC: {scope_of(request)}.{joined}"


def money(case: Case) -> list[str]:
    """By tender: what is to go back, and what has gone back by now, which is all that is said after the end."""
    given = {reversal.tender_id: reversal for reversal in case.reversals}
    lines = []
    for planned in case.plan.tenders if case.plan else ():
        tender = planned.tender
        parts = []
        if not case.ended:
            parts += [f"{amount} to be {word}" for word, amount in _amounts(planned.refund, planned.release)]
        if reversal := given.get(tender.tender_id):
            gone = _amounts(reversal.refunded, reversal.reservation_released)
            parts += [f"{amount} {word} so far" if not case.ended else f"{amount} {word}" for word, amount in gone]
        if parts:
            lines.append(f"{_words(tender.kind)} {_plain(tender.tender_id)}: {', '.join(parts)}")
    return lines


def _amounts(refund: Money, release: Money) -> list[tuple[str, Money]]:
    return [(word, amount) for word, amount in (("refunded", refund), ("released", release)) if amount]


# Rule: The page of a run is made of its case
def describe(progress: Progress, case: Case) -> str:
    """The run as a page for a person, in the Markdown that the Temporal UI shows: lists, because it sets tables without
    space between the cells. After the end it says what happened, and nothing of what was to be done."""
    cause, ended = case.roll_back_cause, case.ended
    lines = [f"**{_words(progress.state)}** · cancellation `{progress.cancellation_id}`", "", _plain(asked(case)), ""]
    decided = progress.decision.sentence if progress.decision else ""
    if ended:
        lines += [_plain(ended.sentence), ""]
    elif decided and decided not in {wait.reason for wait in progress.waits}:
        lines += [_plain(decided), ""]
    if cause and not (ended and ended.sentence == cause.sentence):
        lines += [f"Rolled back because: {_plain(cause.sentence)}", ""]
    for wait in progress.waits:
        lines += [
            f"❗ Waits for **{_words(wait.owner)}**, due {wait.due_at:%Y-%m-%d %H:%M} UTC: {_plain(wait.reason)}",
            "",
            *_ways_on(progress, wait),
        ]
    lines += [*(f"- {line}" for line in money(case)), ""]
    lines += [
        f"goods: **{_words(progress.goods)}** · money: **{_words(progress.money)}** · paper: **{_words(progress.paper)}**",
        "",
    ]
    if progress.refund_due and progress.money_is_owed:
        law = progress.refund_due
        lines += [f"By law the money is due {law.at:%Y-%m-%d %H:%M} UTC ({law.law}).", ""]
    waiting = {(wait.step, wait.target) for wait in progress.waits}
    for row in progress.steps:
        parts = [f"{_MARKS[row.status]} {_words(row.step)} {_plain(row.target)}"]
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


def _ways_on(progress: Progress, wait: Wait) -> list[str]:
    """What a person sends to go on: an update with its JSON, or a command. Step and target are named where several wait."""
    order, staff = progress.order_id, '"actor": "refund_department:YOUR-ID"'
    if wait.state is State.WAITING_FOR_APPROVAL:
        return [
            f"Send the update **approve** or **reject**: `{{{staff}}}`",
            "",
            f"or `{_COMMAND} approve {order} --actor KIND:ID`, `{_COMMAND} reject {order} --actor KIND:ID`",
            "",
        ]
    if not wait.step:
        return []
    several = len([other for other in progress.waits if other.step]) > 1
    target = _code(wait.target or "")
    named = f', "step": "{wait.step}", "target": "{target}"' if several else ""
    place = f"{order} --step {wait.step} --target {target} --actor KIND:ID"
    ways = []
    if wait.choices:
        chosen = f'{{{staff}, "target": "{target}", "method": "{wait.choices[0]}"}}'
        offered = " or ".join(map(_words, wait.choices))
        ways += [
            f"As the customer chooses ({offered}), send the update **choose_refund_method**: `{chosen}`",
            *(
                f"or `{_COMMAND} choose {order} --actor KIND:ID --tender {target} --method {method}`"
                for method in wait.choices
            ),
        ]
    resolved = f'{{{staff}{named}, "resolution": "done_by_hand", "reference": "BANK-4711"}}'
    ways += [
        f"To try it again, send the update **retry_step**: `{{{staff}{named}}}`",
        f"or `{_COMMAND} retry {place}`",
        f"When it is settled outside, or to undo everything, send the update **resolve_step**: `{resolved}`",
        "The resolution may also be `nothing_due` or `roll_back`.",
        f"or `{_COMMAND} resolve {place} --resolution RESOLUTION --reference TEXT`",
    ]
    return [line for way in ways for line in (way, "")]


def _words(code: str) -> str:
    return code.replace("_", " ")


def _code(text: str) -> str:
    """Within back quotes."""
    return text.replace("`", "'").replace("\n", " ")


def _plain(text: str) -> str:
    """A text that somebody else may have written a part of, in one line: no link, picture, HTML or code comes of it."""
    return _code(text).replace("[", "\\[").replace("<", "&lt;")
