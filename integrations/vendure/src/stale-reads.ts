import { Injectable } from '@nestjs/common';
import {
    type Fulfillment,
    type ID,
    IllegalOperationError,
    type Order,
    type Payment,
    type RequestContext,
} from '@vendure/core';

import { OrderLock } from './order-lock';

/** Units of a line that are to be packed. */
export interface UnitsToPack {
    orderLineId: ID;
    quantity: number;
}

/**
 * Vendure reads, asks the guards, and then writes by what it has read. A guard may have waited for a close in between. So
 * the guards lock the rows and compare them with what was read.
 */
@Injectable()
export class StaleReads {
    constructor(private readonly lock: OrderLock) {}

    /** `current` is the locked row, `read` what the request has read. */
    refuseChangedState(current: Order, read: Pick<Order, 'state'>): void {
        if (current.state !== read.state) {
            throw new IllegalOperationError(
                `Order ${current.code} was ${read.state} when this request began and is ${current.state} now. ` +
                    'Read the order again.',
            );
        }
    }

    refuseChangedTotal(current: Order, read: Order): void {
        this.refuseChangedState(current, read);
        if (current.subTotalWithTax !== read.subTotalWithTax || current.shippingWithTax !== read.shippingWithTax) {
            throw new IllegalOperationError(
                `The total of order ${current.code} has changed since this request began. Read the order again.`,
            );
        }
    }

    /** Any change counts: Vendure writes the number of units that it has computed from what it read. */
    refuseChangedOrder(current: Order, read: Order): void {
        this.refuseChangedState(current, read);
        if (current.updatedAt.getTime() !== read.updatedAt.getTime()) {
            throw new IllegalOperationError(
                `Order ${current.code} has changed since this request began. Read the order again.`,
            );
        }
    }

    async refuseChangedPayment(ctx: RequestContext, order: Order, read: Payment): Promise<void> {
        const { state } = await this.lock.lockPayment(ctx, read.id);
        if (state !== read.state) {
            throw new IllegalOperationError(
                `Payment ${read.id} of order ${order.code} was ${read.state} when this request began and is ${state} now. ` +
                    'Read the order again.',
            );
        }
    }

    async refuseChangedFulfillment(ctx: RequestContext, read: Fulfillment): Promise<void> {
        const { state } = await this.lock.lockFulfillment(ctx, read.id);
        if (state !== read.state) {
            throw new IllegalOperationError(
                `Fulfillment ${read.id} was ${read.state} when this request began and is ${state} now. Read the order again.`,
            );
        }
    }

    async refuseMissingUnits(ctx: RequestContext, lines: UnitsToPack[]): Promise<void> {
        for (const { orderLineId, quantity } of lines) {
            const line = await this.lock.lockLine(ctx, orderLineId);
            const toPack = line.quantity - (await this.lock.countPackedUnits(ctx, orderLineId));
            if (quantity > toPack) {
                throw new IllegalOperationError(
                    `Units of line ${orderLineId} have been cancelled or packed since this request began. ` +
                        `${Math.max(toPack, 0)} can be packed and ${quantity} were asked for. Read the order again.`,
                );
            }
        }
    }
}
