"""Ask for a cancellation, and wait for its end, with nothing but Temporal's SDK and the published contract.

python cancel.py ORDER_ID CUSTOMER_ID
"""

import asyncio
import hashlib
import json
import os
import sys
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy


async def cancel(client: Client, request: dict[str, Any]) -> dict[str, Any]:
    """The result. Safe to repeat: the same content is the same update."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:12]
    workflow_id = f"cancel-order-{request['order_id']}"
    start = WithStartWorkflowOperation(
        "CancellationWorkflow",
        request,
        id=workflow_id,
        task_queue="order-cancellation",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(SearchAttributeKey.for_keyword("OrderId"), request["order_id"]),
                SearchAttributePair(SearchAttributeKey.for_keyword("CancellationState"), "running"),
                SearchAttributePair(SearchAttributeKey.for_keyword("CancellationReason"), request["reason"]),
            ]
        ),
    )
    receipt = await client.execute_update_with_start_workflow(
        "submit", request, start_workflow_operation=start, id=f"{request['request_id']}/{digest}"
    )
    run = client.get_workflow_handle(workflow_id, run_id=receipt["run_id"])
    decision = receipt["decision"]
    while decision is None:  # it took longer than the receipt waits
        await asyncio.sleep(1)
        decision = (await run.query("progress"))["decision"]
    print(decision["sentence"])
    return receipt["result"] or await run.result()


async def main(order_id: str, customer_id: str) -> None:
    client = await Client.connect(os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"))
    result = await cancel(
        client,
        {
            "request_id": "web-2f6c1d",
            "order_id": order_id,
            "customer_id": customer_id,
            "actor": f"customer:{customer_id}",
            "channel": "web_shop",
            "reason": "no_longer_needed",
        },
    )
    print(result["outcome"], result["refunded"], result["credit_note"])
    await asyncio.sleep(0.1)  # the client's threads leave the last answer before the interpreter ends


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
