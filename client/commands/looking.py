"""The commands that look: status, watch, result, list, doctor, reasons."""

import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.live import Live

from client import views
from client.cancellations import Cancellations
from client.commands.options import Json, OrderId, business_id, out, print_json, run_command
from client.diagnosis_view import diagnosis_view
from client.errors import ExitCode, StarterError
from client.listing import Filter
from client.status import Summary
from domain.outcome import CancellationResult, State
from domain.request import ActorKind, ReasonCode
from domain.step import Owner
from runtime.policy_file import load_policy

app = typer.Typer()


@app.command()
def status(order_id: OrderId, json: Json = False) -> None:
    """Show where a cancellation stands. It is the order's latest one."""

    async def work(cancellations: Cancellations) -> int:
        now = await cancellations.status(order_id)
        print_json(now) if json else out.print(views.progress_view(now))
        return ExitCode.DONE

    run_command(work)


@app.command()
def watch(order_id: OrderId, json: Json = False) -> None:
    """Follow a cancellation to its end. With --json one document a line; the last one is the result."""

    async def work(cancellations: Cancellations) -> int:
        following = cancellations.watch(order_id)
        if json:
            return await _follow(following, print_json)
        if not out.is_terminal:
            return await _follow(following, views.PlainLines(out))
        with Live(console=out, auto_refresh=False) as live:
            return await _follow(following, lambda news: live.update(views.news_view(news), refresh=True))

    run_command(work)


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
            metavar="SECONDS", min=0.1, show_default=False, help="How long to wait for the end; without it, for ever."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Wait for the end of a cancellation."""

    async def work(cancellations: Cancellations) -> int:
        ended = await cancellations.result(order_id, timedelta(seconds=wait) if wait else None)
        print_json(ended) if json else out.print(views.result_view(ended))
        return ExitCode.of(ended)

    run_command(work)


@app.command(name="list")
def list_(
    state: Annotated[
        State | None,
        typer.Option(metavar="STATE", show_default=False, help=f"Only those in this state: {', '.join(State)}."),
    ] = None,
    owner: Annotated[
        Owner | None,
        typer.Option(
            metavar="OWNER", show_default=False, help=f"Only those that wait for this owner: {', '.join(Owner)}."
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(metavar="ORDER_ID", parser=business_id, show_default=False, help="Only those of this order."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    json: Json = False,
) -> None:
    """List cancellations that Temporal still knows, the latest first."""

    async def work(cancellations: Cancellations) -> int:
        page = await cancellations.list(
            Filter(order_ids=(order,) if order else None, state=state, owner=owner), limit=limit
        )
        if json:
            print(TypeAdapter(list[Summary]).dump_json([*page.cancellations]).decode())
        else:
            out.print(views.list_view(page.cancellations))
        return ExitCode.DONE

    run_command(work)


@app.command()
def doctor(json: Json = False) -> None:
    """Show whether everything is reached: Temporal, a worker, and the systems that it is connected to. Shows too what the
    order management system can and cannot tell or do. Changes nothing."""

    async def work(cancellations: Cancellations) -> int:
        found = await cancellations.diagnose()
        print_json(found) if json else out.print(diagnosis_view(found))
        return found.code

    run_command(work)


@app.command()
def reasons(json: Json = False) -> None:
    """List who may give which reason, by the policy of POLICY_FILE."""
    try:
        allowed = load_policy(Path(os.environ.get("POLICY_FILE") or "policy.toml")).reasons
    except ValueError as error:
        raise StarterError(ExitCode.WRONG_INPUT, str(error)) from None
    if json:
        print(TypeAdapter(dict[ActorKind, tuple[ReasonCode, ...]]).dump_json({**allowed}).decode())
    else:
        out.print(views.reasons_view(allowed))
