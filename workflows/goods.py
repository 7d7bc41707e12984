"""The goods of a cancellation: every parcel is stopped, kept stopped, or released again."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from temporalio import workflow

from domain.carried import Obstacle, ParcelLook
from domain.case import Case
from domain.facts import RetryOrdered, RollBackOrdered, RollBackReason
from domain.outcome import Outcome, State
from domain.shipment import Stop, StopStatus
from domain.terms import RefundIntercepted
from workflows import steps
from workflows.decisions import Answer
from workflows.step_runner import StepRunner
from workflows.steps import Step
from workflows.waiting import Waiting
from workflows.waits import Watch


class GoodsSteps:
    """The steps that a carrier, the warehouse or a gift card's account carries out."""

    def __init__(self, order_id: str, runner: StepRunner, waiting: Waiting, looks: tuple[ParcelLook, ...] = ()) -> None:
        self._order_id = order_id
        self._runner = runner
        self._waiting = waiting
        self._looks = {look.shipment_id: look for look in looks}

    @property
    def looks(self) -> tuple[ParcelLook, ...]:
        return tuple(self._looks.values())

    @property
    def _case(self) -> Case:
        return self._runner.case

    async def stop_shipments(self) -> None:
        """Stop every parcel of the plan that is not known to be stopped."""
        plan = self._case.plan
        assert plan is not None
        await self._stop(planned.shipment.shipment_id for planned in plan.shipments)

    # Rule: Goods that have left an order that cannot be frozen are parcels to be stopped [like any other parcel]
    async def recheck_order(self) -> None:
        """Goods may leave an order that does not stay frozen: it is read again, and what has left is stopped like any other
        parcel, until nothing new is found. Others may have changed more while a person was asked."""
        while not self._case.stays_frozen:
            plan = self._case.plan
            answer = await self._runner.run_step(steps.CHECK_ORDER, self._order_id)
            await self.stop_shipments()
            if self._case.plan == plan and answer is None:
                return

    # Rule: A parcel that counts as stopped is looked at again, and stopped once more
    async def recheck_parcels(self) -> None:
        """A parcel that counts as stopped may reach the customer all the same: after a wait, or when the carrier has said
        something, every such parcel is looked at again, and one that moves is stopped again. The same goes for one at
        which this run has not looked itself."""
        watched = [shipment_id for shipment_id in self._case.watched_parcels if self._needs_look(shipment_id)]
        if watched:
            await self._runner.run_all([self._check(shipment_id) for shipment_id in watched])
            await self._stop(watched)

    def _needs_look(self, shipment_id: str) -> bool:
        last = self._looks.get(shipment_id)
        if last is None or self._runner.parcel_events > last.events:
            return True
        return workflow.now() - last.at >= self._case.terms.carrier_poll

    def _note_look(self, shipment_id: str, events: int) -> None:
        self._looks[shipment_id] = ParcelLook(shipment_id=shipment_id, at=workflow.now(), events=events)

    async def _check(self, shipment_id: str) -> None:
        """A person's word stands as long as the carrier says nothing, so nobody waits for it."""
        stop = self._case.stop_of(shipment_id)
        if stop is not None and stop.is_by_hand:
            await self._look_for_outcome(shipment_id)
        else:
            await self._look_by(steps.CHECK_SHIPMENT, shipment_id)

    async def _look_by(self, step: Step[Any, Any], shipment_id: str) -> None:
        """Carry out a step that reads where the parcel is. News that arrive meanwhile call for another look."""
        events = self._runner.parcel_events
        await self._runner.run_step(step, shipment_id)
        self._note_look(shipment_id, events)

    async def _look_for_outcome(self, shipment_id: str) -> bool:
        """The same, but nobody is asked when the carrier does not answer. Returns whether it did."""
        events = self._runner.parcel_events
        answered = await self._runner.run_look(steps.CHECK_SHIPMENT, shipment_id)
        if answered:
            self._note_look(shipment_id, events)
        return answered

    async def _look_until_news(self, shipment_id: str) -> bool:
        """The same, repeated until there is something new."""
        events, poll = self._runner.parcel_events, self._case.terms.carrier_poll
        answered = await self._runner.look_until_news(steps.CHECK_SHIPMENT, shipment_id, poll)
        if answered:
            self._note_look(shipment_id, events)
        return answered

    async def _stop(self, shipments: Iterable[str]) -> None:
        """Stop these parcels; the lines of those that the carrier did not stop leave the plan as a return offer."""
        wanted = [shipment_id for shipment_id in shipments if _needs_stop(self._case.stop_of(shipment_id))]
        await self._runner.run_all([self._stop_shipment(shipment_id) for shipment_id in wanted])
        await self._runner.run_all([self._resume(shipment_id) for shipment_id in self._case.given_up_stops])
        await self._waiting.raise_if_rolling_back()
        plan = self._case.plan
        if plan is not None and not plan.lines and not plan.shipping_alone:
            await self._waiting.order_roll_back(
                RollBackOrdered(
                    outcome=Outcome.REJECTED,
                    reason=RollBackReason.GOODS_NOT_STOPPED,
                    sentence="The carrier did not stop the goods; offer the customer a return.",
                )
            )

    async def _stop_shipment(self, shipment_id: str) -> None:
        stopped = self._case.stop_of(shipment_id)
        if stopped is None or not stopped.is_by_hand:
            await self._try_to_stop(shipment_id)
        while (stop := self._case.stop_of(shipment_id)) and stop.status is StopStatus.MOVING:
            if isinstance(await self._ask_to_fetch(shipment_id, stop), RetryOrdered):
                await self._try_to_stop(shipment_id)

    async def _try_to_stop(self, shipment_id: str) -> None:
        known = self._case.stop_of(shipment_id)
        if known is None or known.status is StopStatus.MOVING:
            await self._look_by(steps.STOP_SHIPMENT, shipment_id)
        await self._wait_for_intercept(shipment_id)

    async def _resume(self, shipment_id: str) -> None:
        """A person has given up the stop: the goods stay with the customer, so what was begun is undone."""
        await self._runner.run_step(steps.RESUME_SHIPMENT, shipment_id)

    async def _wait_for_intercept(self, shipment_id: str) -> None:
        """The carrier's answer to an intercept only accepts it; tracking shows the outcome."""
        terms = self._case.terms
        if terms.refund_intercepted is RefundIntercepted.ON_ACCEPTANCE:
            return

        def is_open() -> bool:
            stop = self._case.stop_of(shipment_id)
            return stop is not None and stop.status is StopStatus.REQUESTED

        while is_open():
            await self._runner.wait_for_outcome(
                steps.STOP_SHIPMENT,
                shipment_id,
                Watch(
                    look_up=partial(self._look_for_outcome, shipment_id),
                    look_until_news=partial(self._look_until_news, shipment_id),
                    is_open=is_open,
                    state=State.WAITING_FOR_CARRIER,
                    why="The carrier took the intercept; its tracking does not show the outcome yet.",
                    patience=terms.carrier_patience,
                    poll=terms.carrier_poll,
                ),
            )

    # Rule: A parcel that reaches a customer who has the money back is a person's to fetch [the wait]
    async def _ask_to_fetch(self, shipment_id: str, stop: Stop) -> Answer | None:
        """The goods reach a customer who has the money back already: a person fetches them, or writes them off. Before the
        money moves a person is asked about what a person has stopped."""
        if self._case.past_pivot:
            why = (
                f"Shipment {shipment_id} was not stopped ({stop.detail}), and its money is on its way back: fetch the "
                "goods, or write them off, and resolve the step."
            )
        else:
            why = (
                f"Shipment {shipment_id} was stopped by hand ({stop.reference}), and tracking says that it was delivered. "
                "Find out who has the goods and resolve the step: done_by_hand when you have them, nothing_due when the "
                "customer keeps them and gets no money back."
            )
        return await self._waiting.wait_for_person(steps.STOP_SHIPMENT, shipment_id, Obstacle(sentence=why, final=True))


def _needs_stop(stop: Stop | None) -> bool:
    """An intercept whose outcome is open is waited for, too."""
    return stop is None or stop.status in {StopStatus.MOVING, StopStatus.REQUESTED}
