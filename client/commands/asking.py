"""The commands that ask for cancellations: start, quote, bulk."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from client import views
from client.bulk import BulkSummary, LineAnswer, Results, start_all
from client.bulk_file import Defaults, Line, read_lines
from client.cancellations import ANSWER_WAIT, Cancellations
from client.commands.options import (
    Json,
    Note,
    Reason,
    WhoAsks,
    business_id,
    check_input,
    err,
    out,
    parse_line,
    print_error,
    print_json,
    read_text,
    run_command,
)
from client.errors import ExitCode, StarterError
from client.requests import new_request
from domain.decision import Rule, Verdict
from domain.messages import Quote, Submission
from domain.request import CancellationRequest, Channel, LineScope
from runtime.texts import translate

app = typer.Typer()


def _with_a_request(
    answer: Callable[[Cancellations, CancellationRequest, timedelta, bool], Awaitable[int]],
) -> Callable[..., None]:
    """Makes a command with the options of a request out of what answers it: (cancellations, request, wait, json)."""

    def command(
        order_id: Annotated[
            str | None, typer.Argument(metavar="ORDER_ID", parser=business_id, show_default=False)
        ] = None,
        *,
        actor: WhoAsks = None,
        reason: Reason = None,
        customer: Annotated[
            str | None,
            typer.Option(
                metavar="ID",
                parser=business_id,
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
                parser=parse_line,
                show_default=False,
                help="Cancel units of a line only; may be repeated. Without it: the whole order; with --shipping: none.",
            ),
        ] = None,
        shipping: Annotated[
            bool,
            typer.Option(
                "--shipping",
                help="Give the shipping charge back although lines remain: beside --line or, without any, alone. Only staff "
                "may ask for this.",
            ),
        ] = False,
        request_id: Annotated[
            str | None,
            typer.Option(
                metavar="ID",
                parser=business_id,
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
                    ExitCode.WRONG_INPUT,
                    translate("--file holds the whole request; give nothing else but --wait and --json."),
                )
            content = read_text(translate("request file"), file)
            with check_input(translate("The request file")):
                request = CancellationRequest.model_validate_json(content)
        elif order_id is None or actor is None or reason is None:
            given = {"ORDER_ID": order_id, "--actor": actor, "--reason": reason}
            missing = ", ".join(name for name, value in given.items() if value is None)
            sentence = translate("Missing: {missing}. Or give the whole request with --file.", missing=missing)
            raise StarterError(ExitCode.WRONG_INPUT, sentence)
        else:
            with check_input(translate("The request")):
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
        run_command(lambda cancellations: answer(cancellations, request, timedelta(seconds=wait), json))

    command.__name__, command.__doc__ = answer.__name__, answer.__doc__
    return command


@app.command()
@_with_a_request
async def start(cancellations: Cancellations, request: CancellationRequest, wait: timedelta, json: bool) -> int:
    """Ask for a cancellation. Answers with the decision and the amounts."""
    submission = await cancellations.start(request, wait)
    return _show_answer(submission, views.submission_view(submission), json)


@app.command()
@_with_a_request
async def quote(cancellations: Cancellations, request: CancellationRequest, wait: timedelta, json: bool) -> int:
    """Show what a cancellation would do, and do nothing. Decision and plan as `start` would answer them now."""
    answer = await cancellations.quote(request, wait)
    return _show_answer(answer, views.quote_view(answer), json)


def _show_answer(answer: Submission | Quote, view: RenderableType, json: bool) -> ExitCode:
    """An order that was not found is a sentence on standard error. Without a decision the request was received, and is
    carried out later."""
    decision = answer.decision
    unknown = decision is not None and decision.rule is Rule.ORDER_NOT_FOUND
    if json:
        print_json(answer)
    elif not unknown:
        out.print(view)
    if decision is None:
        return ExitCode.DONE
    if unknown:
        raise StarterError(ExitCode.NOT_FOUND, decision.sentence)
    if answer.result is not None:
        return ExitCode.of(answer.result)
    return ExitCode.NOT_CANCELLED if decision.verdict is Verdict.REJECTED else ExitCode.DONE


@app.command()
def bulk(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    *,
    actor: WhoAsks = None,
    reason: Reason = None,
    channel: Channel = Channel.BACK_OFFICE,
    note: Note = "",
    rate: Annotated[float, typer.Option(metavar="PER_SECOND", min=0.1, help="How many to send per second.")] = 20,
    json: Json = False,
) -> None:
    """Ask for many cancellations. FILE is CSV with a header: order_id and, if wanted, request_id, reason, note. --actor says
    who asks; --reason and --note are for lines that have none of their own. A file that a spreadsheet program has saved is
    read too, and so is JSON with one whole request in each line.

    Each answer is added to FILE.results.jsonl. The same command again goes on where this one ended: what was answered there
    is not sent again, but what failed is. A line whose order has another cancellation under way is sent again a few times.
    Exit code 0: every line has its decision; 1: some have none, and the summary counts them; 130: interrupted.
    """
    path = Path(f"{file}.results.jsonl")
    lines: list[Line] = []
    wrong = 0
    for read in read_lines(read_text(translate("file"), str(file)), Defaults(actor, channel, reason, note)):
        if isinstance(read, Line):
            lines.append(read)
        else:
            wrong += 1
            print_error(translate("Line {number} is not sent: {sentence}.", number=read.number, sentence=read.sentence))

    async def work(cancellations: Cancellations) -> int:
        to_send = list({line.key: line for line in lines if line.key not in results.answered}.values())
        answers: Counter[str] = Counter()
        with (
            views.bulk_progress(err, len(to_send)) as count_answer,
            _stopped_by_signals() as stop,
        ):

            def keep_answer(answer: LineAnswer) -> None:
                results.add(answer)
                answers[answer.word] += 1
                count_answer()

            await start_all(cancellations, to_send, rate=rate, stop=stop, on_answer=keep_answer)
        summary = BulkSummary(
            lines=len(lines) + wrong,
            answers=dict(answers.most_common()),
            before=len(lines) - len(to_send),
            wrong=wrong,
            unanswered=len(to_send) - answers.total(),
            results=str(path),
        )
        print_json(summary) if json else out.print(views.bulk_view(summary))
        if stop.is_set():
            raise StarterError(
                ExitCode.INTERRUPTED,
                translate("Stopped. The same command goes on from here; what was answered is not sent again."),
            )
        complete = not wrong and all(line.key in results.answered for line in lines)
        return ExitCode.DONE if complete else ExitCode.NOT_CANCELLED

    with Results.of(path) as results:
        run_command(work)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """The event that the first signal to stop sets. Another one gives up at once."""
    loop, task, stop = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        else:
            print_error(translate("Stopping after the requests already sent. Press Ctrl-C again to stop now."))
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        yield stop
