"""The order itself: verified and held, and in the end closed or released."""

from itertools import count

from activities.signatures import CloseOrder, ReleaseOrder, Verification, VerifyOrder
from domain.plan import Plan
from workflows import answers, steps
from workflows.case import Case
from workflows.saga import Saga
from workflows.step_runner import StepRunner


class HeldOrder:
    """The steps that the order book carries out."""

    def __init__(self, case: Case, runner: StepRunner, saga: Saga) -> None:
        self._case = case
        self._runner = runner
        self._saga = saga

    async def verify_order(self) -> Plan | None:
        """The decision and the plan; the order is held. None: there is nothing to carry out."""
        self._saga.register_compensation(self.release_order)
        request, rounds = self._case.request, count()
        verification = await self._runner.run_step(
            steps.VERIFY_ORDER,
            request.order_id,
            lambda ids: VerifyOrder(
                **ids,
                request=request,
                again=next(rounds) > 0,
                look_again=self._case.events_heard > 0,  # the run was started by an event: the order's may be over
            ),
        )
        assert isinstance(verification, Verification)  # no person can verify an order by hand
        self._case.record_verification(verification)
        if verification.plan is not None:
            self._case.raise_if_rolling_back()
        return verification.plan

    async def close_order(self, plan: Plan) -> None:
        case, result = self._case, answers.make_closing_result(self._case)
        await self._runner.run_step(
            steps.CLOSE_ORDER,
            plan.order_id,
            lambda ids: CloseOrder(**ids, plan=plan, stops=case.stops, reversals=case.reversals, result=result),
        )

    async def release_order(self) -> None:
        await self._runner.run_step(
            steps.RELEASE_ORDER,
            self._case.order_id,
            lambda ids: ReleaseOrder(**ids, result=answers.make_rolled_back_result(self._case)),
        )
