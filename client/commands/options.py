"""What the commands share: their options, the consoles, how a call is made and its answer shown."""

import asyncio
import contextlib
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from client import views
from client.bulk_file import decode
from client.cancellations import Cancellations
from client.errors import ExitCode, StarterError
from client.layout import Prose
from client.program import own_command
from client.refusals import translate_problems, translate_refusal
from domain.base import BAD_ID, Value
from domain.request import Actor, BusinessId, LineScope, ReasonCode
from domain.step import StepName
from runtime.texts import translate

out = views.new_console(width=160)
err = views.new_console(width=160, stderr=True)


def print_error(sentence: str) -> None:
    """On standard error: one line. A terminal shows it in as many as it takes, and a command in one of its own, which can be
    copied as it is."""
    if not err.is_terminal:
        print(views.plain(sentence), file=sys.stderr)
        return
    command = re.search(rf"(?:{re.escape(own_command())}|\S*temporal (?:workflow|activity|operator)) .+", sentence)
    text = sentence[: command.start()] if command else sentence
    err.print(Prose(views.plain(text.rstrip())))
    if command:
        err.print(Text(views.plain(command[0])), soft_wrap=True)


def business_id(text: str) -> str:
    try:
        return TypeAdapter(BusinessId).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{translate_refusal(BAD_ID)}.") from None


def parse_actor(text: str) -> Actor:
    try:
        return Actor.model_validate(text)
    except ValidationError as error:
        raise typer.BadParameter(f"{translate_problems(error)}.") from None


def parse_line(text: str) -> LineScope:
    line_id, _, quantity = text.rpartition("=")
    if not quantity.isdecimal() or int(quantity) < 1:
        raise typer.BadParameter(translate("write it as LINE=QUANTITY, for example L1=2."))
    return LineScope(line_id=business_id(line_id), quantity=int(quantity))


OrderId = Annotated[str, typer.Argument(metavar="ORDER_ID", parser=business_id, show_default=False)]
WhoActs = Annotated[
    Actor,
    typer.Option("--actor", metavar="KIND:ID", parser=parse_actor, show_default=False, help="Who acts, e.g. risk:R-7."),
]
WhoAsks = Annotated[
    Actor | None,
    typer.Option(
        "--actor", metavar="KIND:ID", parser=parse_actor, show_default=False, help="Who asks, e.g. customer:C-1."
    ),
]
Reason = Annotated[
    ReasonCode | None,
    typer.Option(metavar="REASON", show_default=False, help="Why; the command `reasons` lists who may give which."),
]
Note = Annotated[str, typer.Option(help="For the record, at most 500 characters; no personal data.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
StepOption = Annotated[
    StepName | None,
    typer.Option(metavar="STEP", show_default=False, help="The step, as `status` names it; needed when several wait."),
]
TargetOption = Annotated[
    str | None, typer.Option(show_default=False, help="Its order, shipment or tender; needed when several wait.")
]


def run_command(call: Callable[[Cancellations], Awaitable[int]]) -> NoReturn:
    async def connected() -> int:
        return await call(await Cancellations.connect())

    raise typer.Exit(asyncio.run(connected()))


def read_text(what: str, file: str) -> str:
    try:
        return decode(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        why = (
            translate_refusal(str(error.strerror))
            if isinstance(error, OSError)
            else translate("it is not UTF-8 or UTF-16 text; save it as UTF-8")
        )
        raise StarterError(
            ExitCode.WRONG_INPUT, translate("The {what} {file} cannot be read: {why}.", what=what, file=file, why=why)
        ) from None


@contextlib.contextmanager
def check_input(what: str) -> Iterator[None]:
    """A message that does not validate, as a sentence."""
    try:
        yield
    except ValidationError as error:
        raise StarterError(
            ExitCode.WRONG_INPUT,
            translate("{what} is not valid: {wrong}.", what=what, wrong=translate_problems(error)),
        ) from None


def print_json(document: Value) -> None:
    print(document.model_dump_json(), flush=True)
