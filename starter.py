"""Start, watch and steer cancellations: `Cancellations` for Python, and the same on the command line.

    python starter.py start O-1 --actor customer:C-1 --reason no_longer_needed
    python starter.py watch O-1

Every command answers with an exit code, and with `--json` in the models of `domain/`:

    0  done, or accepted and under way
    1  the order was not cancelled: rejected, withdrawn, rolled back, or the run was lost; of a file: not every line has
       its decision
    2  wrong input
    3  Temporal cannot be reached, or does not let us in
    4  there is no such order, or no cancellation of it
    5  refused: the cancellation does not allow that now, or the request conflicts with an earlier one
    6  not decided, or still running, when the time to wait was over; it goes on
  130  stopped by a signal

How to reach Temporal comes from the environment (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, …). A one-line sentence on
standard error says what went wrong and what to do next. The library is `client/cancellations.py`, what people see is
`client/views.py`; here is the command line.
"""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Annotated, NoReturn

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text
from temporalio.runtime import Runtime, TelemetryConfig

from client import views
from client.bulk import BulkSummary, Filled, Line, LineAnswer, Results, read_lines, start_all
from client.cancellations import ANSWER_WAIT, Cancellations
from client.errors import ExitCode, StarterError
from client.requests import BAD_ID, complaint, new_request
from client.status import Execution, Source, Status, Summary
from domain.base import Value
from domain.messages import (
    Acknowledgement,
    Approve,
    ChooseRefundMethod,
    Reject,
    Resolution,
    ResolveStep,
    RetryStep,
    Withdraw,
)
from domain.outcome import CancellationResult, Owner, State, StepName
from domain.plan import RefundMethod
from domain.policy import Decision, Rule, Verdict
from domain.request import Actor, ActorKind, BusinessId, CancellationRequest, Channel, LineScope, ReasonCode
from runtime.leaving import leave

__all__ = [
    "Cancellations",
    "Execution",
    "ExitCode",
    "Source",
    "StarterError",
    "Status",
    "Summary",
    "new_request",
]

_out = views.new_console(width=160)
_err = views.new_console(width=160, stderr=True)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Start, watch and steer order cancellations.",
    epilog="\b\n" + dedent((__doc__ or "").partition("`domain/`:\n\n")[2].partition("\n\nHow")[0]),
)


# The words on the command line


def _business_id(text: str) -> str:
    try:
        return TypeAdapter(BusinessId).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(BAD_ID) from None


def _actor(text: str) -> Actor:
    kind, _, name = text.partition(":")
    if kind not in set(ActorKind):
        raise typer.BadParameter(f"write it as KIND:ID, where KIND is one of {', '.join(ActorKind)}.")
    return Actor(kind=ActorKind(kind), id=_business_id(name))


def _line(text: str) -> LineScope:
    line_id, _, quantity = text.rpartition("=")
    if not quantity.isdecimal() or int(quantity) < 1:
        raise typer.BadParameter("write it as LINE=QUANTITY, for example L1=2.")
    return LineScope(line_id=_business_id(line_id), quantity=int(quantity))


OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID", parser=_business_id, show_default=False)]
WhoActs = Annotated[
    Actor,
    typer.Option("--actor", metavar="KIND:ID", parser=_actor, show_default=False, help="Who acts, e.g. risk:R-7."),
]
WhoAsks = Annotated[
    Actor | None,
    typer.Option("--actor", metavar="KIND:ID", parser=_actor, show_default=False, help="Who asks, e.g. customer:C-1."),
]
Reason = Annotated[ReasonCode | None, typer.Option(show_default=False)]
Note = Annotated[str, typer.Option(help="For the record, at most 500 characters; no personal data.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
StepOption = Annotated[StepName | None, typer.Option(show_default=False, help="The step; needed when several wait.")]
TargetOption = Annotated[
    str | None, typer.Option(show_default=False, help="Its order, shipment or tender; needed when several wait.")
]

# Starting


def _with_a_request(
    answer: Callable[[Cancellations, CancellationRequest, timedelta, bool], Awaitable[int]],
) -> Callable[..., None]:
    """Makes a command with the options of a request out of what answers it: (cancellations, request, wait, json)."""

    def command(
        order_id: Annotated[
            str | None, typer.Argument(metavar="ORDER_ID", parser=_business_id, show_default=False)
        ] = None,
        *,
        actor: WhoAsks = None,
        reason: Reason = None,
        customer: Annotated[
            str | None,
            typer.Option(
                metavar="ID",
                parser=_business_id,
                show_default=False,
                help="Who must own the order; the actor, when a customer asks.",
            ),
        ] = None,
        channel: Channel = Channel.BACK_OFFICE,
        note: Note = "",
        line: Annotated[
            list[LineScope] | None,
            typer.Option(
                metavar="LINE=QUANTITY",
                parser=_line,
                show_default=False,
                help="Cancel units of a line only; may be repeated. Without it: the whole order.",
            ),
        ] = None,
        shipping: Annotated[
            bool,
            typer.Option(
                "--shipping", help="Give the shipping charge back although lines remain; only staff may ask so."
            ),
        ] = False,
        request_id: Annotated[
            str | None,
            typer.Option(
                metavar="ID",
                parser=_business_id,
                show_default=False,
                help="Makes a repeated request the same one. Without it: derived from the content, so that asking twice for "
                "the same is one request; give a new id to ask once more on purpose.",
            ),
        ] = None,
        file: Annotated[
            str | None,
            typer.Option(
                metavar="FILE", show_default=False, help="The whole request as JSON instead; - is standard input."
            ),
        ] = None,
        wait: Annotated[
            float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for the decision.")
        ] = ANSWER_WAIT.total_seconds(),
        json: Json = False,
    ) -> None:
        if file is not None:
            if (
                any(given is not None for given in (order_id, actor, reason, customer, line, request_id))
                or note
                or shipping
            ):
                raise StarterError(
                    ExitCode.WRONG_INPUT, "--file holds the whole request; give nothing else but --wait and --json."
                )
            content = _read("request file", file)
            with _checked("The request file"):
                request = CancellationRequest.model_validate_json(content)
        elif order_id is None or actor is None or reason is None:
            raise StarterError(ExitCode.WRONG_INPUT, "ORDER_ID, --actor and --reason are needed, or --file.")
        else:
            with _checked("The request"):
                request = new_request(
                    order_id,
                    actor=actor,
                    channel=channel,
                    reason=reason,
                    note=note,
                    customer_id=customer,
                    lines=line or (),
                    shipping=shipping,
                    request_id=request_id,
                )
        _work(lambda cancellations: answer(cancellations, request, timedelta(seconds=wait), json))

    command.__name__, command.__doc__ = answer.__name__, answer.__doc__
    return command


@app.command()
@_with_a_request
async def start(cancellations: Cancellations, request: CancellationRequest, wait: timedelta, json: bool) -> int:
    """Ask for a cancellation. Answers with the decision and the amounts."""
    submission = await cancellations.start(request, wait)
    return _decided(submission.decision, submission, views.submission_view(submission), json)


@app.command()
@_with_a_request
async def quote(cancellations: Cancellations, request: CancellationRequest, wait: timedelta, json: bool) -> int:
    """Show what a cancellation would do, and do nothing. Decision and plan as `start` would answer them now."""
    answer = await cancellations.quote(request, wait)
    return _decided(answer.decision, answer, views.quote_view(answer), json)


def _decided(decision: Decision, document: Value, view: RenderableType, json: bool) -> ExitCode:
    """Show the answer to a request. An order that was not found is a sentence on standard error."""
    unknown = decision.rule is Rule.ORDER_NOT_FOUND
    if json:
        _print_json(document)
    elif not unknown:
        _out.print(view)
    if unknown:
        raise StarterError(ExitCode.NOT_FOUND, decision.sentence)
    return ExitCode.NOT_CANCELLED if decision.verdict is Verdict.REJECTED else ExitCode.DONE


@app.command()
def bulk(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    *,
    actor: WhoAsks = None,
    reason: Reason = None,
    channel: Channel = Channel.BACK_OFFICE,
    note: Note = "",
    rate: Annotated[float, typer.Option(metavar="PER_SECOND", min=0.1, help="How many to send in a second.")] = 20,
    json: Json = False,
) -> None:
    """Ask for many cancellations. FILE is CSV with a header: order_id and, if wanted, request_id, reason, note; --actor and,
    where a line has none, --reason and --note say the rest. Or one whole request a line, as JSON.

    Each answer is added to FILE.results.jsonl. The same command again goes on where this one ended: what was answered there
    is not sent again, what failed is. Exit code 0: every line has its decision; 1: some have not, the summary counts them;
    130: interrupted.
    """
    path = Path(f"{file}.results.jsonl")
    lines: list[Line] = []
    wrong = 0
    for read in read_lines(_read("file", str(file)), Filled(actor, channel, reason, note)):
        if isinstance(read, Line):
            lines.append(read)
        else:
            wrong += 1
            print(views.plain(f"Line {read.number} is not sent: {read.sentence}."), file=sys.stderr)

    async def work(cancellations: Cancellations) -> int:
        to_send = list({line.key: line for line in lines if line.key not in results.answered}.values())
        answers: Counter[str] = Counter()
        with (
            views.bulk_progress(_err, len(to_send)) as one_more,
            _stopped_by_signals() as stop,
        ):

            def told(answer: LineAnswer) -> None:
                results.add(answer)
                answers[answer.word] += 1
                one_more()

            await start_all(cancellations, to_send, rate=rate, stop=stop, told=told)
        summary = BulkSummary(
            lines=len(lines) + wrong,
            answers=dict(answers.most_common()),
            before=len(lines) - len(to_send),
            wrong=wrong,
            unanswered=len(to_send) - answers.total(),
            results=str(path),
        )
        _print_json(summary) if json else _out.print(views.bulk_view(summary))
        if stop.is_set():
            raise StarterError(
                ExitCode.INTERRUPTED,
                "Stopped. The same command goes on from here; what was answered is not sent again.",
            )
        complete = not wrong and all(line.key in results.answered for line in lines)
        return ExitCode.DONE if complete else ExitCode.NOT_CANCELLED

    with Results.of(path) as results:
        _work(work)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """The event that the first signal to stop sets. Another one gives up at once."""
    loop, task, stop = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None

    def asked() -> None:
        if stop.is_set():
            task.cancel()
        else:
            print("Stopping; what is under way is still answered. Once more, and it is not.", file=sys.stderr)
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, asked)
    with contextlib.suppress(asyncio.CancelledError):
        yield stop


# Looking


@app.command()
def status(order_id: OrderId, json: Json = False) -> None:
    """Show where a cancellation stands. It is the order's latest one."""

    async def work(cancellations: Cancellations) -> int:
        now = await cancellations.status(order_id)
        _print_json(now) if json else _out.print(views.progress_view(now))
        return ExitCode.DONE

    _work(work)


@app.command()
def watch(order_id: OrderId, json: Json = False) -> None:
    """Follow a cancellation to its end. With --json one document a line, the last one the result."""

    async def work(cancellations: Cancellations) -> int:
        following = cancellations.watch(order_id)
        if json:
            return await _follow(following, _print_json)
        if not _out.is_terminal:
            return await _follow(following, views.PlainLines(_out))
        with Live(console=_out, auto_refresh=False) as live:
            return await _follow(following, lambda news: live.update(views.news_view(news), refresh=True))

    _work(work)


async def _follow(following: AsyncIterator[views.News], show: Callable[[views.News], None]) -> int:
    code = ExitCode.UNDECIDED
    async for news in following:
        show(news)
        if isinstance(news, CancellationResult):
            code = ExitCode.of(news)
    return code


@app.command()
def result(
    order_id: OrderId,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0.1, show_default=False, help="How long to wait for the end; else for ever."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Wait for the end of a cancellation."""

    async def work(cancellations: Cancellations) -> int:
        ended = await cancellations.result(order_id, timedelta(seconds=wait) if wait else None)
        _print_json(ended) if json else _out.print(views.result_view(ended))
        return ExitCode.of(ended)

    _work(work)


@app.command(name="list")
def list_(
    state: Annotated[State | None, typer.Option(show_default=False, help="Those in this state only.")] = None,
    owner: Annotated[
        Owner | None, typer.Option(show_default=False, help="Those that wait for this owner only.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    json: Json = False,
) -> None:
    """List cancellations, the latest first."""

    async def work(cancellations: Cancellations) -> int:
        found = await cancellations.list(state=state, owner=owner, limit=limit)
        if json:
            print(TypeAdapter(list[Summary]).dump_json([*found]).decode())
        else:
            _out.print(views.list_view(found))
        return ExitCode.DONE

    _work(work)


# Steering


@app.command()
def approve(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Approve as the second person; the requester cannot."""
    with _checked("The approval"):
        message = Approve(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.approve(order_id, message), json)


@app.command()
def reject(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Refuse the approval; what was done is rolled back."""
    with _checked("The refusal"):
        message = Reject(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.reject(order_id, message), json)


@app.command()
def withdraw(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Take the request back. Possible as long as the money has not begun to move."""
    with _checked("The withdrawal"):
        message = Withdraw(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.withdraw(order_id, message), json)


@app.command()
def retry(
    order_id: OrderId,
    *,
    actor: WhoActs,
    step: StepOption = None,
    target: TargetOption = None,
    note: Note = "",
    json: Json = False,
) -> None:
    """Try a step that waits again, now."""

    async def send(cancellations: Cancellations) -> Acknowledgement:
        place = await _place(cancellations, order_id, step, target)
        with _checked("The message"):
            message = RetryStep(actor=actor, step=place[0], target=place[1], note=note)
        return await cancellations.retry_step(order_id, message)

    _steer(send, json)


@app.command()
def resolve(
    order_id: OrderId,
    *,
    actor: WhoActs,
    resolution: Annotated[Resolution, typer.Option(show_default=False)],
    reference: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="The proof, e.g. the number of the bank transfer.")
    ],
    step: StepOption = None,
    target: TargetOption = None,
    note: Note = "",
    json: Json = False,
) -> None:
    """Decide about a step that waits. Done by hand, nothing due, or roll everything back."""

    async def send(cancellations: Cancellations) -> Acknowledgement:
        place = await _place(cancellations, order_id, step, target)
        with _checked("The message"):
            message = ResolveStep(
                actor=actor, step=place[0], target=place[1], resolution=resolution, reference=reference, note=note
            )
        return await cancellations.resolve_step(order_id, message)

    _steer(send, json)


@app.command()
def choose(
    order_id: OrderId,
    *,
    actor: WhoActs,
    tender: Annotated[str, typer.Option(show_default=False, help="The tender that cannot be refunded, e.g. T1.")],
    method: Annotated[RefundMethod, typer.Option(show_default=False)],
    note: Note = "",
    json: Json = False,
) -> None:
    """Say how the customer wants the money of a tender whose refund was refused or failed."""
    with _checked("The choice"):
        message = ChooseRefundMethod(actor=actor, target=tender, method=method, note=note)
    _steer(lambda cancellations: cancellations.choose_refund_method(order_id, message), json)


async def _place(
    cancellations: Cancellations, order_id: str, step: StepName | None, target: str | None
) -> tuple[StepName, str]:
    """The step that is meant: as named, else the only one that waits."""
    if step and target:
        return step, target
    waits = (await cancellations.status(order_id)).waits
    waiting = [(wait.step, wait.target) for wait in waits if wait.step and wait.target]
    meant = [(s, t) for s, t in waiting if step in {None, s} and target in {None, t}]
    if len(meant) == 1:
        return meant[0]
    if not waiting:
        raise StarterError(
            ExitCode.REFUSED,
            f"No step of order {order_id} waits to be tried again or resolved; look with: starter.py status {order_id}",
        )
    all_of_them = ", ".join(f"{s} {t}" for s, t in waiting)
    raise StarterError(
        ExitCode.WRONG_INPUT if len(meant) > 1 else ExitCode.REFUSED,
        f"Name one step with --step and --target; of order {order_id} these wait: {all_of_them}.",
    )


def _steer(send: Callable[[Cancellations], Awaitable[Acknowledgement]], json: bool) -> None:
    async def work(cancellations: Cancellations) -> int:
        answer = await send(cancellations)
        _print_json(answer) if json else _out.print(Text(answer.sentence))
        return ExitCode.DONE

    _work(work)


# What the commands share


def _work(work: Callable[[Cancellations], Awaitable[int]]) -> NoReturn:
    async def connected() -> int:
        return await work(await Cancellations.connect())

    raise typer.Exit(asyncio.run(connected()))


def _read(what: str, file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StarterError(ExitCode.WRONG_INPUT, f"The {what} {file} cannot be read: {why}.") from None


@contextlib.contextmanager
def _checked(what: str) -> Iterator[None]:
    """A message that does not validate, as a sentence."""
    try:
        yield
    except ValidationError as error:
        raise StarterError(ExitCode.WRONG_INPUT, f"{what} is not valid: {complaint(error)}.") from None


def _print_json(document: Value) -> None:
    print(document.model_dump_json(), flush=True)


def main() -> int:
    """Run the command line; every known failure is one sentence on standard error."""
    # Temporal's client would report its retries on standard output, among the answers.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    try:
        return int(app(standalone_mode=False) or 0)
    except StarterError as error:
        code, sentence = error.code, error.sentence
    except BrokenPipeError:
        return ExitCode.DONE  # the reader has read all that it wanted
    except typer.TyperException as error:
        code, sentence = ExitCode.WRONG_INPUT, " ".join(error.format_message().replace("Value error, ", "").split())
    print(views.plain(sentence), file=sys.stderr)
    return code


if __name__ == "__main__":
    leave(main())
