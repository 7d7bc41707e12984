"""The commands that steer: approve, reject, withdraw, retry, resolve, choose."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from client.cancellations import Cancellations
from client.commands.options import (
    Json,
    Note,
    OrderId,
    StepOption,
    TargetOption,
    WhoActs,
    check_input,
    out,
    print_json,
    run_command,
)
from client.errors import ExitCode, StarterError
from client.layout import Prose
from client.program import own_command
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
from domain.step import StepName
from domain.terms import RefundMethod
from runtime.texts import translate

app = typer.Typer()


@app.command()
def approve(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Approve as the second person; the requester cannot."""
    with check_input(translate("The approval")):
        message = Approve(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.approve(order_id, message), json)


@app.command()
def reject(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Refuse the approval; what was done is rolled back."""
    with check_input(translate("The refusal")):
        message = Reject(actor=actor, note=note)
    _steer(lambda cancellations: cancellations.reject(order_id, message), json)


@app.command()
def withdraw(order_id: OrderId, actor: WhoActs, note: Note = "", json: Json = False) -> None:
    """Take the request back. Possible as long as the money has not begun to move."""
    with check_input(translate("The withdrawal")):
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

    with check_input(translate("The message")):
        message = RetryStep(actor=actor, step=step, target=target, note=note)

    async def send(cancellations: Cancellations) -> Acknowledgement:
        waiting = await _find_waiting(cancellations, order_id, message.step, message.target)
        return await cancellations.retry_step(order_id, message.model_copy(update=waiting))

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

    with check_input(translate("The message")):
        message = ResolveStep(
            actor=actor, step=step, target=target, resolution=resolution, reference=reference, note=note
        )

    async def send(cancellations: Cancellations) -> Acknowledgement:
        waiting = await _find_waiting(cancellations, order_id, message.step, message.target)
        return await cancellations.resolve_step(order_id, message.model_copy(update=waiting))

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
    with check_input(translate("The choice")):
        message = ChooseRefundMethod(actor=actor, target=tender, method=method, note=note)
    _steer(lambda cancellations: cancellations.choose_refund_method(order_id, message), json)


async def _find_waiting(
    cancellations: Cancellations, order_id: str, step: StepName | None, target: str | None
) -> dict[str, str]:
    """Step and target that are meant: as named, else of the only one that waits."""
    if step and target:
        return {"step": step, "target": target}
    waits = (await cancellations.status(order_id)).waits
    waiting = [(wait.step, wait.target) for wait in waits if wait.step and wait.target]
    meant = [(s, t) for s, t in waiting if step in {None, s} and target in {None, t}]
    if len(meant) == 1:
        return dict(zip(("step", "target"), meant[0], strict=True))
    if not waiting:
        raise StarterError(
            ExitCode.REFUSED,
            translate(
                "No step of order {order_id} waits to be tried again or resolved; look with: {command}",
                order_id=order_id,
                command=own_command("status", order_id),
            ),
        )
    all_of_them = ", ".join(f"{s} {t}" for s, t in waiting)
    raise StarterError(
        ExitCode.WRONG_INPUT if len(meant) > 1 else ExitCode.REFUSED,
        translate(
            "Name one step with --step and --target; of order {order_id} these wait: {steps}.",
            order_id=order_id,
            steps=all_of_them,
        ),
    )


def _steer(send: Callable[[Cancellations], Awaitable[Acknowledgement]], json: bool) -> None:
    async def work(cancellations: Cancellations) -> int:
        answer = await send(cancellations)
        print_json(answer) if json else out.print(Prose(answer.sentence))
        return ExitCode.DONE

    run_command(work)
