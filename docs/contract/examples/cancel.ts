// Ask for a cancellation, and wait for its end, with nothing but Temporal's SDK and the published contract.
//
//   npx tsx cancel.ts ORDER_ID CUSTOMER_ID

import { createHash } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { Client, Connection, WithStartWorkflowOperation } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

interface Decision { verdict: string; sentence: string }
interface Result { outcome: string; refunded: { amount: number; currency: string } | null; credit_note: string | null }
interface Receipt { run_id: string; decision: Decision | null; result: Result | null }

const [orderId, customerId] = process.argv.slice(2);
const request = {
  request_id: 'web-2f6c1d', order_id: orderId, customer_id: customerId,
  actor: { kind: 'customer', id: customerId }, channel: 'web_shop', reason: 'no_longer_needed',
};
const connection = await Connection.connect({ address: process.env.TEMPORAL_ADDRESS ?? '127.0.0.1:7233' });
const client = new Client({ connection });
const workflowId = `cancel-order-${orderId}`;
const start = new WithStartWorkflowOperation('CancellationWorkflow', {
  workflowId, taskQueue: 'order-cancellation', args: [request], workflowIdConflictPolicy: 'USE_EXISTING',
  typedSearchAttributes: [
    { key: defineSearchAttributeKey('OrderId', SearchAttributeType.KEYWORD), value: orderId },
    { key: defineSearchAttributeKey('CancellationState', SearchAttributeType.KEYWORD), value: 'running' },
    { key: defineSearchAttributeKey('CancellationReason', SearchAttributeType.KEYWORD), value: request.reason },
  ],
});
const hash = createHash('sha256').update(JSON.stringify(request)).digest('hex').slice(0, 12);
const receipt = await client.workflow.executeUpdateWithStart('submit', {
  startWorkflowOperation: start, args: [request], updateId: `${request.request_id}/${hash}`,
}) as Receipt;
const run = client.workflow.getHandle(workflowId, receipt.run_id);
let decision = receipt.decision;
while (decision === null) { // it took longer than the receipt waits
  await setTimeout(1000);
  decision = (await run.query<{ decision: Decision | null }>('progress')).decision;
}
console.log(decision.sentence);
const result = receipt.result ?? await run.result() as Result;
console.log(result.outcome, JSON.stringify(result.refunded), result.credit_note);
await connection.close();
