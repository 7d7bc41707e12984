import { Injectable } from '@nestjs/common';
import { type ID, IllegalOperationError, Order, type RequestContext, TransactionalConnection } from '@vendure/core';

import { OrderLock } from './order-lock';

/** The header by which a request names the cancellation that it belongs to. */
const CANCELLATION_HEADER = 'cancellation-id';

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
                // Staff could not take a held order out of this state, and from this state an order cannot be cancelled.
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

    /** Whether nobody holds the order now. */
    async release(ctx: RequestContext, orderId: ID, cancellationId: string): Promise<boolean> {
        return this.lock.change(ctx, orderId, (tx, order) => this.endHold(tx, order, cancellationId));
    }

    /**
     * Call it within `OrderLock.change`. The cancellation then holds the order no longer, and cannot hold it again.
     * Returns whether nobody holds the order now.
     */
    async endHold(ctx: RequestContext, order: Order, cancellationId: string): Promise<boolean> {
        const { heldByCancellation, releasedCancellations } = order.customFields;
        const released = releasedCancellations ?? [];
        const holder = heldByCancellation === cancellationId ? null : heldByCancellation;
        await this.connection.getRepository(ctx, Order).update(order.id, {
            customFields: {
                heldByCancellation: holder,
                releasedCancellations: released.includes(cancellationId) ? released : [...released, cancellationId],
            },
        });
        return !holder;
    }

    /** Returns the order as it is now. `what` completes the sentence "Order X is held by cancellation Y and …". */
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
    // Customers reach the Shop API, so the header is ignored there.
    const value = ctx.apiType === 'admin' ? ctx.req?.headers[CANCELLATION_HEADER] : undefined;
    return typeof value === 'string' ? value : undefined;
}
