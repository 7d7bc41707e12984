"""Reading what is true of orders: from the counterparts' own lists of effects, from the tables, and from the engine."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from client.engine import Execution, execution_of
from client.errors import StarterError
from client.runs import read_result
from domain.case import Case
from domain.facts import (
    EffectEnded,
    EffectNoted,
    Joined,
    NothingDue,
    Requested,
    RollBackOrdered,
    SettledByHand,
)
from domain.keys import id_of
from domain.order import Order
from domain.outcome import CancellationResult, State
from domain.plan import Plan
from domain.request import workflow_id
from domain.standing import result_of
from domain.step import StepName
from providers.books.tables import DocumentKind
from runtime import search_attributes as attributes
from sandbox import books
from sandbox.carrier.model import Effect as CarrierEffect
from sandbox.gateway.messages import Effect as GatewayEffect
from tests.faults.confidential import shown_in_failures, shown_in_runs, shown_in_waits
from tests.faults.model import (
    AtGateway,
    ChangedByOthers,
    Noted,
    Paper,
    Posted,
    Recorded,
    RunNow,
    Said,
    World,
)
from tests.faults.parcels import read_parcel, read_parcel_effects
from tests.faults.payments import at_gateway, at_marketplace, never_taken, of_other_orders, on_accounts, reserved
from tests.faults.shop import read_shop_effects
from tests.replaying import find_failed_replays, list_handles
from tests.system import System

_ROLLS_BACK = frozenset({"withdrawal_asked", "approval_refused", "roll_back_ordered"})
_AFTER_PIVOT = {StepName.REVERSE_PAYMENT, StepName.GIVE_STORE_CREDIT, StepName.CREDIT_REFUND, StepName.CLOSE_ORDER}


@dataclass
class Watched:
    """An order as it was placed, and what was said about it since."""

    order: Order
    said: list[Said] = field(default_factory=list)
    handed_over: frozenset[str] = frozenset()
    """The parcels that the carrier had by then."""
    changes: list[ChangedByOthers] = field(default_factory=list)
    captured_for: dict[str, int] = field(default_factory=dict)
    """By tender of a payment that pays others too, what was captured for this order."""
    refunds_of_others: set[str] = field(default_factory=set)
    """Of such a payment, those that others have made for this order."""


class _Lists(NamedTuple):
    """Of all orders."""

    cases: Mapping[str, Sequence[Case]]
    """By order."""
    paid: Mapping[str, frozenset[str]]
    """By payment, the cancellations of the orders that were paid with it."""
    refunds_of_others: Mapping[str, str]
    """By refund, the order that it was for, where the payment pays several."""
    gateway: Sequence[GatewayEffect]
    carrier: Sequence[CarrierEffect]
    ledger: Sequence[books.Transfer]
    papers: Sequence[books.Document]


async def read_worlds(system: System, watched: Sequence[Watched]) -> list[World]:
    """One for each, in their order. The lists of the counterparts are read once for all. Orders that share a payment are
    read together: of what bears the key of no cancellation of any of them nobody could say for which it is."""
    cases = {found.order.order_id: await read_cases(system, found.order.order_id) for found in watched}
    lists = _Lists(
        cases=cases,
        paid=_cancellations_by_payment(watched, cases),
        refunds_of_others={refund: found.order.order_id for found in watched for refund in found.refunds_of_others},
        gateway=await system.shop.gateway.effects(),
        carrier=await system.shop.carrier.effects(),
        ledger=await books.ledger(system.engine),
        papers=await books.documents(system.engine),
    )
    return [await _read(system, found, lists) for found in watched]


async def read_world(system: System, watched: Watched) -> World:
    [world] = await read_worlds(system, [watched])
    return world


async def read_instant(system: System, watched: Watched) -> World:
    """What has been done to the order by now, by the lists of the counterparts, and what the books have of it: the money
    first, because it has to be in the books by then. Not the run, nor what the order and its parcels are now."""
    order = watched.order
    money = await read_money(system, order)
    at_shop = await read_shop_effects(system, order.order_id)
    has_labels = any(parcel.label_reference for parcel in order.shipments)
    carrier = await system.shop.carrier.effects() if has_labels else []
    cases = await read_cases(system, order.order_id)
    ids = {case.cancellation_id for case in cases}
    return World(
        order=order,
        said=tuple(watched.said),
        money=tuple(money),
        handed_over=watched.handed_over,
        parcels=tuple(read_parcel_effects(parcel, carrier) for parcel in order.shipments),
        cancelled=(),
        held_by=None,
        at_shop=tuple(at_shop),
        cancellations=tuple(_recorded(case) for case in cases),
        ledger=_posted(await books.ledger(system.engine), ids),
        run=None,
    )


async def read_money(system: System, order: Order) -> list[AtGateway]:
    """What was done with the order's money by now, and nothing else."""
    effects = [
        effect
        for payment in system.shop.payments.get(order.order_id, [])
        for effect in await system.shop.gateway.effects(payment)
    ]
    return [*at_gateway(order, effects, system.shop.gateway.keys), *await on_accounts(system, order)]


def _cancellations_by_payment(
    watched: Sequence[Watched], cases: Mapping[str, Sequence[Case]]
) -> dict[str, frozenset[str]]:
    paid: dict[str, frozenset[str]] = {}
    for order in (found.order for found in watched):
        ids = frozenset(case.cancellation_id for case in cases[order.order_id])
        for tender in order.tenders:
            paid[tender.reference] = paid.get(tender.reference, frozenset()) | ids
    return paid


async def _read(system: System, watched: Watched, lists: _Lists) -> World:
    order = watched.order
    cases = lists.cases[order.order_id]
    now = await system.orders.read(order.order_id)
    ids = {case.cancellation_id for case in cases}
    found_at_gateway = at_gateway(order, lists.gateway, system.shop.gateway.keys)
    others = of_other_orders(order, found_at_gateway, lists.paid, ids)
    others |= {refund for refund, order_id in lists.refunds_of_others.items() if order_id != order.order_id}
    run, leaks = await _run(system, order.order_id)
    return World(
        order=order,
        said=tuple(watched.said),
        for_other_orders=tuple(effect for effect in found_at_gateway if effect.object_id in others),
        money=(
            *(effect for effect in found_at_gateway if effect.object_id not in others),
            *reserved(lists.gateway, ids),
            *await on_accounts(system, order),
            *await at_marketplace(system, order),
        ),
        handed_over=watched.handed_over,
        changes=tuple(watched.changes),
        captured_for=tuple(watched.captured_for.items()),
        parcels=tuple([await read_parcel(system, now, parcel, lists.carrier) for parcel in order.shipments]),
        cancelled=tuple((line.line_id, line.cancelled) for line in now.lines),
        held_by=(await system.read_order(order.order_id)).held_by,
        at_shop=tuple(await read_shop_effects(system, order.order_id)),
        cancellations=tuple(_recorded(case) for case in cases),
        ledger=_posted(lists.ledger, ids),
        papers=tuple(_paper(document) for document in lists.papers if document.order_id == order.order_id),
        run=run,
        leaks=(*leaks, *await shown_in_runs(await list_handles(system, workflow_id(order.order_id)))),
        failed_replays=tuple(await _failed_replays(system, order.order_id)),
        never_taken=tuple(never_taken(order, lists.gateway)),
        paid_with=tuple((tender.tender_id, tender.reference) for tender in now.tenders),
    )


def _posted(ledger: Sequence[books.Transfer], cancellations: Container[str]) -> tuple[Posted, ...]:
    return tuple(
        Posted(
            cancellation_id=transfer.cancellation_id,
            debit=transfer.debit.value,
            credit=transfer.credit.value,
            amount=transfer.amount.amount,
            currency=transfer.amount.currency,
            reference=transfer.reference,
        )
        for transfer in ledger
        if transfer.cancellation_id in cancellations
    )


async def read_cases(system: System, order_id: str) -> list[Case]:
    """The order's cancellations in the register, the oldest first."""
    cases: list[Case] = []
    for entry in await books.facts(system.engine, order_id):
        if isinstance(entry.fact, Requested):
            cases.append(Case())
        cases[-1] = Case((*cases[-1].entries, entry))
    return cases


def _recorded(case: Case) -> Recorded:
    ended = case.ended
    result = result_of(case, "", ended.outcome, ended.sentence) if ended else None
    request = case.request
    assert request is not None
    taken_back = (
        entry.at.timestamp()
        for entry in case.entries
        if isinstance(entry.fact, RollBackOrdered) and entry.fact.by and entry.fact.step in _AFTER_PIVOT
    )
    return Recorded(
        cancellation_id=id_of(request),
        outcome=ended.outcome if ended else None,
        refunded=result.refunded if result else None,
        released=result.released if result else None,
        facts=tuple(entry.fact.kind for entry in case.entries),
        effects=tuple(
            Noted(
                key=str(entry.fact.key),
                outcome=entry.fact.outcome if isinstance(entry.fact, EffectEnded) else None,
                at=entry.at.timestamp(),
            )
            for entry in case.entries
            if isinstance(entry.fact, EffectNoted | EffectEnded)
        ),
        began_at=case.entries[0].at.timestamp(),
        ended_at=case.entries[-1].at.timestamp() if ended else None,
        rolled_back_at=next((entry.at.timestamp() for entry in case.entries if entry.fact.kind in _ROLLS_BACK), None),
        planned=_planned(case.plan) if case.plan else (),
        requests=tuple(
            entry.fact.request.request_id for entry in case.entries if isinstance(entry.fact, Requested | Joined)
        ),
        proofs=tuple(
            entry.fact.reference
            for entry in case.entries
            if isinstance(entry.fact, SettledByHand | NothingDue | RollBackOrdered)
        ),
        refunds=tuple(part.tender.tender_id for part in case.plan.tenders if part.refund) if case.plan else (),
        taken_back_at=next(taken_back, None),
    )


def _planned(plan: Plan) -> tuple[str, ...]:
    parcels = (part.shipment.shipment_id for part in plan.shipments)
    return (*parcels, *(part.tender.tender_id for part in plan.tenders))


def _paper(document: books.Document) -> Paper:
    sign = 1 if document.kind is DocumentKind.CREDIT_NOTE else -1
    return Paper(amount=sign * document.total.amount, tax=sign * document.tax.amount)


def keys_noted(case: Case) -> list[str]:
    return [str(entry.fact.key) for entry in case.entries if isinstance(entry.fact, EffectNoted)]


async def _run(system: System, order_id: str) -> tuple[RunNow | None, list[str]]:
    """By the engine's own call: the SDK's stumbles over search attributes that the time-skipping server has emptied. And
    where something confidential is shown of it."""
    handle = system.current(order_id)
    asked = DescribeWorkflowExecutionRequest(
        namespace=system.client.namespace, execution=WorkflowExecution(workflow_id=handle.id)
    )
    try:
        found = await system.client.workflow_service.describe_workflow_execution(asked)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None, []
        raise
    leaks = [*shown_in_failures("a pending activity", *found.pending_activities)]
    info = found.workflow_execution_info
    shown = {name: json.loads(value.data or b"null") for name, value in info.search_attributes.indexed_fields.items()}
    execution = execution_of(info.status)
    now = RunNow(
        status=execution.value,
        unbooked=execution is Execution.COMPLETED and not shown.get(attributes.ORDER_ID.name),
        state=shown.get(attributes.STATE.name),
        owner=shown.get(attributes.OWNER.name),
        pending=bool(found.pending_activities),
    )
    if execution is Execution.RUNNING:
        if await system.has_failed_task(handle):
            return now.model_copy(update={"task_fails": True}), leaks
        try:
            progress = await system.progress(handle)
        except (RPCError, WorkflowQueryFailedError):  # nobody can go on with it
            return now.model_copy(update={"task_fails": True}), leaks
        waits = tuple((wait.owner.value, wait.due_at is not None) for wait in progress.waits)
        for_people = [wait for wait in progress.waits if wait.state is State.NEEDS_ATTENTION]
        urgent = tuple(wait.owner.value for wait in for_people or progress.waits)
        leaks += shown_in_waits(progress.waits)
        waiting = {"waits": waits, "needs_person": bool(for_people), "most_urgent": urgent}
        return now.model_copy(update=waiting), leaks
    result = await _result(system, order_id, execution, info.execution.run_id)
    if result is None:
        return now, leaks
    kept = {"cancellation_id", "outcome", "refunded", "existing"}
    return now.model_copy(update={name: getattr(result, name) for name in kept}), leaks


async def _failed_replays(system: System, order_id: str) -> list[str]:
    handles = await list_handles(system, workflow_id(order_id))
    return await find_failed_replays(handles, system.client.namespace)


async def _result(system: System, order_id: str, execution: Execution, run_id: str) -> CancellationResult | None:
    """None: the run was lost."""
    if execution not in {Execution.COMPLETED, Execution.FAILED}:
        return None
    try:
        return await read_result(system.client, order_id, run_id)
    except StarterError:
        return None
