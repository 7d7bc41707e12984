"""A quote: what a cancellation would do. Only a worker reads the live truth, so it is a run, of one activity and seconds."""

from temporalio import workflow

from activities.signatures import QuoteCancellation
from domain import contract
from domain.keys import EffectKey, id_of
from domain.messages import Quote
from domain.request import CancellationRequest
from domain.step import StepName
from workflows.steps import QUOTE_CANCELLATION, attempt_step


@workflow.defn(name=contract.QUOTE.name)
class QuoteWorkflow:
    """Id `quote-order-{order_id}-{random}`, task queue `order-cancellation`. It fails when nothing can be quoted."""

    @workflow.run
    async def run(self, request: CancellationRequest) -> Quote:
        order_id = request.order_id
        cancellation = id_of(request)
        return await attempt_step(
            QUOTE_CANCELLATION,
            order_id,
            QuoteCancellation(
                cancellation_id=cancellation,
                order_id=order_id,
                target=order_id,
                key=EffectKey(cancellation, StepName.QUOTE_CANCELLATION, order_id),
                request=request,
            ),
        )
