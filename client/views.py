"""What people see of a cancellation on a terminal. All text is plain: nothing in a note or an answer is taken for markup or
for terminal control."""

import contextlib
import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich import progress
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from client.bulk import BulkSummary
from client.engine import Execution
from client.errors import ExitCode
from client.layout import Prose, Rows
from client.program import own_command
from client.status import Status, Summary
from client.submitting import deferred_sentence
from client.words import action_words, answer_words, words
from domain.decision import Decision, Verdict
from domain.messages import Quote, Submission
from domain.money import Money
from domain.outcome import CancellationResult, Progress, State, Wait
from domain.plan import Plan
from domain.request import ActorKind, ReasonCode
from domain.step import StepStatus
from runtime.texts import translate

News = Status | CancellationResult

MARKS = {
    StepStatus.RUNNING: ("▶", "cyan"),
    StepStatus.WAITING: ("…", "yellow"),
    StepStatus.DONE: ("✓", "green"),
    StepStatus.DECLINED: ("↩", "yellow"),
    StepStatus.NEEDS_ATTENTION: ("!", "bold red"),
    StepStatus.RESOLVED: ("✓", "magenta"),
    StepStatus.FAILED: ("✗", "red"),
}
_VERDICTS = {
    Verdict.APPROVED: "bold green",
    Verdict.NEEDS_APPROVAL: "bold yellow",
    Verdict.REJECTED: "bold red",
}
_ANSWERS = {"approved", "rejected", "withdrawn"}
_COUNT_EVERY = 100
_GOOD = {State.CANCELLED, State.PARTIALLY_CANCELLED}
_BAD = {State.NEEDS_ATTENTION, State.REJECTED, State.ROLLED_BACK, State.WITHDRAWN, State.ROLLING_BACK}


def new_console(width: int, *, stderr: bool = False) -> Console:
    """Standard output or error; `width` where it is no terminal."""
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = width
    return console


def plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def given_back(refunded: Money | None, released: Money | None) -> list[str]:
    """What went back to the customer, in words; nothing for what is zero."""
    refunds = [translate("refunded {amount}", amount=refunded)] if refunded else []
    return refunds + ([translate("released {amount}", amount=released)] if released else [])


def _colour(state: State) -> str:
    return "bold green" if state in _GOOD else "bold red" if state in _BAD else "bold yellow"


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _head(about: Progress | CancellationResult, state: State) -> list[RenderableType]:
    order = translate("order {order_id}", order_id=about.order_id)
    return [
        Prose(Text.assemble(f"{order}  ", (words(state), _colour(state)), f"  {_axes(about)}"), indent=2),
        Prose(translate("cancellation {cancellation_id}", cancellation_id=about.cancellation_id), style="dim"),
    ]


def _axes(about: Progress | CancellationResult | Summary) -> str:
    return translate(
        "goods {goods} · money {money} · paper {paper}",
        goods=words(about.goods),
        money=words(about.money),
        paper=words(about.paper),
    )


# Decision and plan


def submission_view(submission: Submission) -> RenderableType:
    decision = submission.decision
    ids = translate(
        "cancellation {cancellation_id} · request {request_id}",
        cancellation_id=submission.cancellation_id,
        request_id=submission.request_id,
    )
    if decision is None:
        return Group(
            Prose(Text.assemble((translate("received"), "bold yellow"), "  ", deferred_sentence(submission.order_id))),
            Prose(ids, style="dim"),
            "",
            _follow_hint(submission.order_id),
        )
    parts: list[RenderableType] = [_verdict(decision), Prose(f"{ids} · {_rule(decision)}", style="dim")]
    if submission.joined:
        parts.append(
            Prose(translate("Another request opened this cancellation; this one joins it and causes nothing new."))
        )
    if submission.plan:
        parts += ["", _plan(submission.plan)]
    if submission.result:
        parts += ["", result_view(submission.result)]
        if ExitCode.of(submission.result):
            parts += ["", Prose(translate("To send a new request, give another --request-id."), style="dim")]
    elif decision.verdict is not Verdict.REJECTED:
        parts += ["", _follow_hint(submission.order_id)]
    return Group(*parts)


def _follow_hint(order_id: str) -> RenderableType:
    return _Command(translate("Follow it:") + " ", own_command("watch", order_id))


def quote_view(quote: Quote) -> RenderableType:
    decision = quote.decision
    parts: list[RenderableType] = [
        _verdict(decision),
        Prose(translate("quote only: nothing was done · {rule}", rule=_rule(decision)), style="dim"),
    ]
    if quote.existing:
        there_is = (
            translate(
                "There is a cancellation of this order already, and it has ended: {cancellation_id}",
                cancellation_id=quote.existing,
            )
            if quote.result
            else translate(
                "There is a cancellation of this order already, and it is under way: {cancellation_id}",
                cancellation_id=quote.existing,
            )
        )
        parts.append(Prose(there_is))
    if quote.plan:
        parts += ["", _plan(quote.plan)]
    if quote.result:
        parts += ["", result_view(quote.result)]
    return Group(*parts)


def _verdict(decision: Decision) -> Prose:
    said = Text.assemble((words(decision.verdict), _VERDICTS[decision.verdict]), "  ", plain(decision.sentence))
    return Prose(said, indent=2)


def _rule(decision: Decision) -> str:
    return translate("policy {version}, rule {rule}", version=decision.policy_version, rule=words(decision.rule))


def _plan(plan: Plan) -> Rows:
    rows = Rows(translate("plan"), translate("of"), translate("how"))
    rows.add_column(translate("amount"), right=True)
    for line in plan.lines:
        rows.add_row(translate("cancel"), f"{line.quantity} × {line.line_id}", line.sku, str(line.amount))
    if plan.shipping:
        rows.add_row(translate("give back"), translate("shipping charge"), "", str(plan.shipping))
    for planned in plan.shipments:
        rows.add_row(
            translate("stop"), planned.shipment.shipment_id, f"{words(planned.action)} ({words(planned.group)})"
        )
    for tender in plan.tenders:
        kind = f"{tender.tender.tender_id} ({words(tender.tender.kind)})"
        if tender.refund:
            rows.add_row(translate("refund"), kind, "", str(tender.refund))
        if tender.release:
            by_capture = tender.released_by_capture
            how = translate("released with the capture of the rest, or when it expires") if by_capture else ""
            if by_capture and tender.never_paid:
                how = translate("stays open: it pays for more than what is cancelled")
            what = translate("do not capture") if by_capture else translate("release")
            rows.add_row(what, kind, how, str(tender.release))
    for left in plan.left_out:
        how = translate("{reason}: offer a return", reason=words(left.reason))
        rows.add_row(translate("keep"), f"{left.quantity} × {left.line_id}", how)
    return rows


# Many at once


@contextlib.contextmanager
def bulk_progress(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Shows how many are answered; what it gives is to be called for each. A bar on a terminal, else now and then a line."""
    if not console.is_terminal:
        counted = itertools.count(1)

        def count() -> None:
            if (done := next(counted)) % _COUNT_EVERY == 0:
                console.print(translate("{done} of {total} answered", done=done, total=total))

        yield count
        return
    columns = (
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        translate("answered, left:"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def bulk_view(summary: BulkSummary) -> RenderableType:
    rows = Rows()
    rows.add_column(translate("lines"), right=True)
    rows.add_column("")
    for word, count in summary.answers.items():
        rows.add_row(str(count), answer_words(word), style="red" if word.startswith("failed") else "")
    for count, what in (
        (summary.before, translate("answered before")),
        (summary.wrong, translate("wrong: not sent")),
        (summary.unanswered, translate("not answered yet")),
    ):
        if count:
            rows.add_row(str(count), what)
    rows.add_row(str(summary.lines), translate("in all"), style="bold")
    return Group(rows, Prose(translate("Each answer: {file}", file=summary.results), style="dim"))


# Progress and result


def news_view(news: News) -> RenderableType:
    return result_view(news) if isinstance(news, CancellationResult) else progress_view(news)


def progress_view(now: Status) -> RenderableType:
    parts = _head(now, now.state)
    is_answered = now.state is State.ROLLING_BACK or not _ANSWERS.isdisjoint(row.action for row in now.actions)
    explained = now.sentence or (now.decision.describe(is_answered=is_answered) if now.decision else "")
    if explained not in {"", *(wait.reason for wait in now.waits)}:
        parts.append(Prose(plain(explained)))
    for wait in now.waits:
        place = f" ({words(wait.step)} {wait.target})" if wait.step else ""
        waits = translate(
            "{owner}, due {at} UTC: {reason}", owner=words(wait.owner) + place, at=_at(wait.due_at), reason=wait.reason
        )
        waits_for = Text.assemble((translate("waits for") + " ", "yellow"), plain(waits))
        parts += [Prose(waits_for, indent=2), *_list_commands(now, wait)]
    if now.refund_due and now.money_is_owed:
        due = translate("By law the money is due {at} UTC ({law}).", at=_at(now.refund_due.at), law=now.refund_due.law)
        parts.append(Prose(due))
    return Group(*parts, "", _timeline(now))


def _list_commands(now: Status, wait: Wait) -> list[RenderableType]:
    """The commands that end a wait. What is paused says itself how to unpause it."""
    staff = (now.order_id, "--actor", "KIND:ID")
    commands: list[tuple[str, ...]] = []
    if wait.state is State.WAITING_FOR_APPROVAL:
        commands = [("approve", *staff), ("reject", *staff)]
    elif wait.step and wait.target:
        step = ("--step", wait.step, "--target", wait.target)
        commands = [
            ("retry", *staff, *step),
            ("resolve", *staff, *step, "--resolution", "RESOLUTION", "--reference", "TEXT"),
            *(("choose", *staff, "--tender", wait.target, "--method", method) for method in wait.choices),
        ]
    return [_Command("  ", own_command(*command)) for command in commands]


class _Command:
    """A command in as many lines as it takes, which a shell puts together again when they are pasted."""

    def __init__(self, label: str, command: str) -> None:
        self._label = label
        self._words = shlex.split(command)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [self._label]
        for word in map(shlex.quote, self._words):
            is_full = len(lines[-1]) + len(word) + len(" \\") > options.max_width
            if is_full and lines[-1].strip() and lines[-1] != self._label:
                lines[-1] += "\\"
                lines.append(" " * 4)
            lines[-1] += f"{word} "
        yield Text("\n".join(line.rstrip() for line in lines), style="dim", overflow="fold")


def result_view(ended: CancellationResult) -> RenderableType:
    parts = [*_head(ended, State(ended.outcome.value)), Prose(plain(ended.sentence))]
    money = given_back(ended.refunded, ended.released)
    if ended.credit_note:
        money.append(translate("credit note {number}", number=ended.credit_note))
    if money:
        parts.append(Prose(", ".join(money)))
    if ended.left_out:
        kept = ", ".join(f"{left.quantity} × {left.line_id} ({words(left.reason)})" for left in ended.left_out)
        parts.append(Prose(translate("not cancelled, offer a return: {lines}", lines=kept)))
    return Group(*parts, "", _timeline(ended)) if ended.steps or ended.actions else Group(*parts)


def _timeline(about: Progress | CancellationResult) -> Rows:
    """Steps and people's actions, the earliest first."""
    rows: list[tuple[datetime, Text, list[str]]] = []
    for step in about.steps:
        what = [f"{words(step.step)} {step.target}", step.detail or words(step.status), step.reference or ""]
        rows.append((step.ended_at or step.started_at, Text(*MARKS[step.status]), what))
    for entry in about.actions:
        rows.append((entry.at, Text("•"), [action_words(entry.action), str(entry.actor), entry.note]))
    timeline = Rows("UTC", "", translate("what happened"))
    for at, sign, what in sorted(rows, key=lambda row: row[0]):
        timeline.add_row(_at(at), sign, plain(" · ".join(filter(None, what))))
    return timeline


class PlainLines:
    """Each change as a line, for a log or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: set[str] = set()

    def __call__(self, news: News) -> None:
        for row in news.steps:
            what = " ".join(filter(None, (words(row.step), row.target, words(row.status), row.detail)))
            self._print_line(row.ended_at or row.started_at, what)
        for entry in news.actions:
            self._print_line(entry.at, f"{entry.actor}: {action_words(entry.action)}")
        if isinstance(news, CancellationResult):
            self._console.print(result_view(news.model_copy(update={"steps": (), "actions": ()})))
            return
        for wait in news.waits:
            waits = translate(
                "waits for {owner}, due {at}: {reason}",
                owner=words(wait.owner),
                at=_at(wait.due_at),
                reason=wait.reason,
            )
            self._print_line(None, waits)
        if news.sentence:
            self._print_line(None, news.sentence)

    def _print_line(self, at: datetime | None, what: str) -> None:
        line = plain(what)
        if line not in self._seen:
            self._seen.add(line)
            self._console.print(Text(f"{_at(at) if at else '':19}  {line}"), soft_wrap=True)


def list_view(found: Sequence[Summary]) -> RenderableType:
    """What it is about, and below it when it began and how far it is."""
    if not found:
        return Text(translate("No cancellations."))
    parts: list[RenderableType] = []
    for summary in found:
        state = Text.assemble((words(summary.state), _colour(summary.state)), (_engine_word(summary), "bold red"))
        due = translate(", due {at}", at=_at(summary.due_at)) if summary.due_at else ""
        waits = " · " + translate("waits for") + f" {words(summary.owner)}{due}" if summary.owner else ""
        amount = f" · {summary.amount}" if summary.amount else ""
        order = translate("order {order_id}", order_id=summary.order_id)
        parts.append(Prose(Text.assemble(f"{order}  ", state, amount, waits), indent=2))
        parts.append(Prose(f"  {_at(summary.started_at)}  {_axes(summary)}", style="dim", indent=2))
    return Group(*parts)


def reasons_view(allowed: Mapping[ActorKind, Sequence[ReasonCode]]) -> RenderableType:
    rows = Rows(translate("who"), translate("may give"))
    for who, reasons in allowed.items():
        rows.add_row(who.value, ", ".join(reasons))
    return rows


def _engine_word(summary: Summary) -> str:
    """What the engine says of a run that is not as usual: it was lost, or somebody has paused it or a step of it."""
    if summary.paused:
        paused = translate("paused") if summary.execution is Execution.PAUSED else translate("step paused")
        return f" ({paused})"
    usual = summary.execution in {Execution.RUNNING, Execution.COMPLETED, Execution.FAILED}
    return "" if usual else f" ({words(summary.execution)})"
