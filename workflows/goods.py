"""The goods of a cancellation: every parcel is stopped, kept stopped, or resumed."""

from collections.abc import Sequence
from functools import partial

from temporalio import workflow

from activities.signatures import CheckShipment, ResumeShipment, StopShipment
from domain.messages import Resolution, ResolveStep
from domain.outcome import GoodsStatus, Outcome, Owner, State, StepStatus
from domain.plan import Plan, PlannedShipment, RefundIntercepted
from domain.shipment import Stop, StopAction, StopStatus
from workflows import steps
from workflows.case import Case
from workflows.saga import RollBack, Saga
from workflows.step_runner import StepRunner, run_all


class Goods:
    """The steps that a carrier, the warehouse or a gift card's account carries out."""

    def __init__(self, case: Case, runner: StepRunner, saga: Saga) -> None:
        self._case = case
        self._runner = runner
        self._saga = saga
        self._stopped_at = workflow.now()
        self._heard_when_stopped = 0

    async def stop_shipments(self, plan: Plan) -> Plan:
        """Stop every parcel that is not known to be stopped."""
        known = {stop.shipment_id for stop in self._case.stops}
        moving = [planned for planned in plan.shipments if planned.shipment.shipment_id not in known]
        for planned in moving:
            self._saga.register_compensation(partial(self.resume_shipment, planned.shipment.shipment_id))
        return await self._stop_all(moving)

    async def recheck_voided_labels(self, plan: Plan) -> Plan:
        """A label that was voided may be used all the same: after a wait, or when the carrier has reported it, every such
        parcel is stopped again. One that lies still is only looked at."""
        voided = {
            stop.shipment_id
            for stop in self._case.stops
            if stop.action is StopAction.VOID_LABEL and stop.status is StopStatus.STOPPED
        }
        waited = workflow.now() - self._stopped_at >= self._case.terms.carrier_poll
        heard = self._case.parcel_events_heard > self._heard_when_stopped
        doubtful = [planned for planned in plan.shipments if planned.shipment.shipment_id in voided]
        if not doubtful or not (waited or heard) or not workflow.patched("voided-labels-are-looked-at-again"):
            return plan
        return await self._stop_all(doubtful)

    async def _stop_all(self, shipments: Sequence[PlannedShipment]) -> Plan:
        """Stop these parcels; the lines of those that the carrier did not stop leave the plan as a return offer."""
        stops = await run_all([self.stop_shipment(planned) for planned in shipments])
        plan = self._case.record_stops(stops)
        self._stopped_at, self._heard_when_stopped = workflow.now(), self._case.parcel_events_heard
        self._case.raise_if_rolling_back()
        if not plan.lines:
            sentence = "The carrier did not stop the goods; offer the customer a return."
            raise self._case.request_roll_back(RollBack(Outcome.REJECTED, sentence))
        return plan

    async def stop_shipment(self, planned: PlannedShipment) -> Stop:
        shipment_id = planned.shipment.shipment_id
        stop = await self._runner.run_step(steps.STOP_SHIPMENT, shipment_id, lambda ids: StopShipment(**ids))
        acceptance_is_enough = self._case.terms.refund_intercepted is RefundIntercepted.ON_ACCEPTANCE
        if isinstance(stop, Stop) and stop.status is StopStatus.REQUESTED and not acceptance_is_enough:
            stop = await self._watch_intercept(shipment_id, stop)
        if isinstance(stop, ResolveStep):
            by_hand = stop.resolution is Resolution.DONE_BY_HAND
            return Stop(
                shipment_id=shipment_id,
                action=planned.action,
                status=StopStatus.STOPPED if by_hand else StopStatus.DECLINED,
                reference=stop.reference,
            )
        if stop.status is StopStatus.DECLINED and self._case.has_moved_money:
            return await self.write_off_shipment(shipment_id, stop)
        status = StepStatus.DECLINED if stop.status is StopStatus.DECLINED else StepStatus.DONE
        self._runner.end_step(steps.STOP_SHIPMENT, shipment_id, status, stop.detail, stop.reference)
        return stop

    async def _watch_intercept(self, shipment_id: str, requested: Stop) -> Stop | ResolveStep:
        """The carrier may still decline an intercept that it took."""
        terms = self._case.terms
        self._case.goods = GoodsStatus.WAITING
        return await self._runner.watch_outcome(
            steps.STOP_SHIPMENT,
            shipment_id,
            requested,
            state=State.WAITING_FOR_CARRIER,
            owner=Owner.CARRIER,
            why="The carrier took the intercept; its tracking has not told the outcome yet.",
            patience=terms.carrier_patience,
            poll=terms.carrier_poll,
            look=lambda known: self._runner.run_look(
                steps.CHECK_SHIPMENT,
                shipment_id,
                lambda ids: CheckShipment(**ids, stop=known, refund_intercepted=terms.refund_intercepted),
            ),
            is_open=lambda known: known.status is StopStatus.REQUESTED,
        )

    async def write_off_shipment(self, shipment_id: str, stop: Stop) -> Stop:
        """The goods reach a customer who has the money back already: a person fetches them, or does without."""
        answer = None
        while not isinstance(answer, ResolveStep):
            answer = await self._runner.wait_for_person(
                steps.STOP_SHIPMENT,
                shipment_id,
                f"Shipment {shipment_id} was not stopped ({stop.detail}), and its money is on its way back: fetch the "
                "goods, or do without them, and resolve the step.",
                owner=Owner.OPERATIONS,
            )
        fetched = answer.resolution is Resolution.DONE_BY_HAND
        return Stop(
            shipment_id=shipment_id,
            action=StopAction.NONE,
            status=StopStatus.COMING_BACK if fetched else StopStatus.LOST,
            detail="fetched by hand" if fetched else "done without",
            reference=answer.reference,
        )

    # Roll-back

    async def resume_shipment(self, shipment_id: str) -> None:
        if any(stop.shipment_id == shipment_id and stop.status is StopStatus.DECLINED for stop in self._case.stops):
            return  # it was never stopped
        undoes = self._runner.list_keys(steps.STOP_SHIPMENT, shipment_id)
        await self._runner.run_step(
            steps.RESUME_SHIPMENT, shipment_id, lambda ids: ResumeShipment(**ids, undoes=undoes)
        )
        self._case.goods = GoodsStatus.MOVING_AGAIN
