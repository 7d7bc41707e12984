"""The goods of a cancellation: every parcel is stopped, kept stopped, or let go on again."""

from collections.abc import Sequence
from functools import partial

from temporalio import workflow

from activities.signatures import CheckShipment, ResumeShipment, StopShipment
from domain.messages import Resolution, ResolveStep
from domain.outcome import GoodsStatus, Outcome, Owner, State, StepStatus, goods_status
from domain.plan import Plan, PlannedShipment, RefundIntercepted
from domain.request import CancellationRequest
from domain.shipment import Stop, StopAction, StopStatus
from workflows import steps
from workflows.saga import RollBack
from workflows.steering import SteeredWorkflow


class GoodsSteps(SteeredWorkflow):
    """The steps of `CancellationWorkflow` that a carrier, the warehouse or a gift card's account carries out."""

    def __init__(self, request: CancellationRequest) -> None:
        super().__init__(request)
        self.stops: list[Stop] = []
        self.stopped_at = workflow.now()
        self.heard_when_stopped = 0

    async def stop_shipments(self, plan: Plan) -> Plan:
        """Stop every parcel that is not known to be stopped."""
        known = {stop.shipment_id for stop in self.stops}
        moving = [planned for planned in plan.shipments if planned.shipment.shipment_id not in known]
        for planned in moving:
            self.saga.register(partial(self.resume_shipment, planned.shipment.shipment_id))
        return await self.stop(plan, moving)

    async def stop_what_came_loose(self, plan: Plan) -> Plan:
        """A label that was voided may be used all the same: after a wait, or when the carrier has told of it, every such
        parcel is stopped again. One that lies still is only looked at."""
        voided = {
            stop.shipment_id
            for stop in self.stops
            if stop.action is StopAction.VOID_LABEL and stop.status is StopStatus.STOPPED
        }
        waited = workflow.now() - self.stopped_at >= self.terms.carrier_poll
        heard = self.heard_of_parcels > self.heard_when_stopped
        doubtful = [planned for planned in plan.shipments if planned.shipment.shipment_id in voided]
        if not doubtful or not (waited or heard) or not workflow.patched("voided-labels-are-looked-at-again"):
            return plan
        return await self.stop(plan, doubtful)

    async def stop(self, plan: Plan, shipments: Sequence[PlannedShipment]) -> Plan:
        """Stop these parcels; the lines of those that the carrier did not stop leave the plan as a return offer."""
        stops = await self.each([self.stop_shipment(planned) for planned in shipments])
        again = {stop.shipment_id for stop in stops}
        self.stops = [stop for stop in self.stops if stop.shipment_id not in again] + stops
        self.stopped_at, self.heard_when_stopped = workflow.now(), self.heard_of_parcels
        declined = frozenset(stop.shipment_id for stop in self.stops if stop.status is StopStatus.DECLINED)
        self.current_plan = plan = plan.without(declined)
        self.journal.goods = goods_status(self.stops, plan.left_out)
        self.turn_if_wanted()
        if not plan.lines:
            sentence = "The carrier did not stop the goods; offer the customer a return."
            raise self.turn_round(RollBack(Outcome.REJECTED, sentence))
        return plan

    async def stop_shipment(self, planned: PlannedShipment) -> Stop:
        shipment_id = planned.shipment.shipment_id
        stop = await self.carry_out(
            steps.STOP_SHIPMENT, shipment_id, lambda key: StopShipment(**self.about(shipment_id, key))
        )
        when = self.terms.refund_intercepted
        if (
            isinstance(stop, Stop)
            and stop.status is StopStatus.REQUESTED
            and when is not RefundIntercepted.ON_ACCEPTANCE
        ):
            self.journal.goods = GoodsStatus.WAITING
            stop = await self.watch(
                steps.STOP_SHIPMENT,
                shipment_id,
                stop,
                state=State.WAITING_FOR_CARRIER,
                owner=Owner.CARRIER,
                why="The carrier took the intercept; its tracking has not told the outcome yet.",
                patience=self.terms.carrier_patience,
                poll=self.terms.carrier_poll,
                look=lambda now: self.look(
                    steps.CHECK_SHIPMENT,
                    shipment_id,
                    lambda key: CheckShipment(**self.about(shipment_id, key), stop=now, refund_intercepted=when),
                ),
                open_=lambda now: now.status is StopStatus.REQUESTED,
            )
        if isinstance(stop, ResolveStep):
            by_hand = stop.resolution is Resolution.DONE_BY_HAND
            return Stop(
                shipment_id=shipment_id,
                action=planned.action,
                status=StopStatus.STOPPED if by_hand else StopStatus.DECLINED,
                reference=stop.reference,
            )
        if stop.status is StopStatus.DECLINED and self.money_moved:
            return await self.write_off(planned, stop)
        status = StepStatus.DECLINED if stop.status is StopStatus.DECLINED else StepStatus.DONE
        self.journal.ended(*self.place(steps.STOP_SHIPMENT, shipment_id), status, stop.detail, stop.reference)
        return stop

    async def write_off(self, planned: PlannedShipment, stop: Stop) -> Stop:
        """The goods reach a customer who has the money back already: a person fetches them, or does without."""
        shipment_id = planned.shipment.shipment_id
        answer = None
        while not isinstance(answer, ResolveStep):
            answer = await self.ask(
                steps.STOP_SHIPMENT,
                shipment_id,
                f"Shipment {shipment_id} was not stopped ({stop.detail}), and its money is on its way back: fetch the "
                "goods, or do without them, and resolve the step.",
                due=self.terms.attention_due,
                again=None,
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
        if any(stop.shipment_id == shipment_id and stop.status is StopStatus.DECLINED for stop in self.stops):
            return  # it was never stopped
        await self.carry_out(
            steps.RESUME_SHIPMENT,
            shipment_id,
            lambda key: ResumeShipment(
                **self.about(shipment_id, key), undoes=self.keys_of(steps.STOP_SHIPMENT, shipment_id)
            ),
        )
        self.journal.goods = GoodsStatus.MOVING_AGAIN
