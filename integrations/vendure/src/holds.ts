import { Injectable } from '@nestjs/common';
import { type ID, IllegalOperationError, Order, type RequestContext, TransactionalConnection } from '@vendure/core';

import { OrderLock } from './order-lock';

/** The header by which a request names the cancellation that it belongs to. */
export const CANCELLATION_HEADER = 'cancellation-id';

/** What a request to hold an order is answered. */
export enum HoldAnswer {
    HELD = 'HELD',
    HELD_BY_ANOTHER = 'HELD_BY_ANOTHER',
    RELEASED = 'RELEASED',
}

/** Which cancellation holds which order. */
@Injectable()
export class OrderHolds {
    constructor(
        private readonly connection: TransactionalConnection,
        private readonly lock: OrderLock,
    ) {}

    async hold(ctx: RequestContext, orderId: ID, cancellationId: string): Promise<HoldAnswer> {
        return this.lock.change(ctx, orderId, async (tx, order) => {
            const { heldByCancellation, releasedCancellations } = order.customFields;
            if (releasedCancellations?.includes(cancellationId)) {
                return HoldAnswer.RELEASED;
            }
            if (heldByCancellation && heldByCancellation !== cancellationId) {
                return HoldAnswer.HELD_BY_ANOTHER;
            }
            if (order.state === 'Modifying') {
                // Staff could not leave this state of a held order, and from there it does not become cancelled.
                throw new IllegalOperationError(
                    `Order ${order.code} is being modified and cannot be held. Finish that, then hold it again.`,
                );
            }
            await this.connection
                .getRepository(tx, Order)
                .update(order.id, { customFields: { heldByCancellation: cancellationId } });
            return HoldAnswer.HELD;
        });
    }

    async release(ctx: RequestContext, orderId: ID, cancellationId: string): Promise<void> {
        await this.lock.change(ctx, orderId, (tx, order) => this.end(tx, order, cancellationId));
    }

    /** Within a change of the order: this cancellation does not hold it any more, and cannot hold it again. */
    async end(ctx: RequestContext, order: Order, cancellationId: string): Promise<void> {
        const { heldByCancellation, releasedCancellations } = order.customFields;
        const released = releasedCancellations ?? [];
        await this.connection.getRepository(ctx, Order).update(order.id, {
            customFields: {
                heldByCancellation: heldByCancellation === cancellationId ? null : heldByCancellation,
                releasedCancellations: released.includes(cancellationId) ? released : [...released, cancellationId],
            },
        });
    }

    /** The order as it is now. `what` completes the sentence: "Order X is held by a cancellation and …". */
    async refuseIfHeld(ctx: RequestContext, orderId: ID, what: string): Promise<Order> {
        // The row is locked so that a hold which is being set is either seen here or waits for this request to end.
        const order = await this.lock.lock(ctx, orderId);
        const holder = order.customFields.heldByCancellation;
        if (holder && holder !== readCancellationId(ctx)) {
            // Vendure passes sentences through its translations, which would cut them at a colon.
            throw new IllegalOperationError(
                `Order ${order.code} is held by cancellation ${holder} and ${what}. ` +
                    'Wait until the cancellation is done, or withdraw it.',
            );
        }
        return order;
    }
}

function readCancellationId(ctx: RequestContext): string | undefined {
    // Customers reach the Shop API, so what they send there counts for nothing.
    const value = ctx.apiType === 'admin' ? ctx.req?.headers[CANCELLATION_HEADER] : undefined;
    return typeof value === 'string' ? value : undefined;
}
