import { Injectable } from '@nestjs/common';
import { HistoryEntryType } from '@vendure/common/lib/generated-types';
import {
    AdjustmentType,
    Allocation,
    EventBus,
    Fulfillment,
    HistoryService,
    type ID,
    idsAreEqual,
    IllegalOperationError,
    isGraphQlErrorResult,
    Order,
    OrderCalculator,
    OrderLine,
    OrderLineEvent,
    OrderService,
    Release,
    type RequestContext,
    Sale,
    ShippingLine,
    StockMovementService,
    Surcharge,
    TransactionalConnection,
    type Type,
    UserInputError,
} from '@vendure/core';

import { OrderHolds } from './holds';
import { OrderLock } from './order-lock';

/** How many units remain in the line. */
export interface LineTargetInput {
    orderLineId: ID;
    remaining: number;
}

export interface CloseOrderInput {
    orderId: ID;
    cancellationId: string;
    lines: LineTargetInput[];
    fulfillmentIds: ID[];
    cancelShipping: boolean;
}

/** Units that leave a line now. */
interface LeavingUnits {
    line: OrderLine;
    quantity: number;
}

/** What marks the cancellation of a shipping line when Vendure itself cancels an order. */
const CANCELLED_SHIPPING = 'CANCEL_ORDER';

@Injectable()
export class OrderClosing {
    constructor(
        private readonly connection: TransactionalConnection,
        private readonly lock: OrderLock,
        private readonly holds: OrderHolds,
        private readonly orders: OrderService,
        private readonly calculator: OrderCalculator,
        private readonly stock: StockMovementService,
        private readonly history: HistoryService,
        private readonly events: EventBus,
    ) {}

    /** Bring the lines to their targets and release the order. Where that has been done, nothing changes. */
    async close(ctx: RequestContext, input: CloseOrderInput): Promise<void> {
        await this.lock.change(ctx, input.orderId, async (tx, order) => {
            const holder = order.customFields.heldByCancellation;
            if (holder && holder !== input.cancellationId) {
                throw new IllegalOperationError(
                    `Order ${order.code} is held by cancellation ${holder}, so ${input.cancellationId} must not close it. ` +
                        'Wait until the other one is done, or withdraw it.',
                );
            }
            // First, because the guards would refuse what follows as a change of a held order.
            await this.holds.endHold(tx, order, input.cancellationId);
            for (const fulfillmentId of input.fulfillmentIds) {
                await this.cancelFulfillment(tx, order, fulfillmentId);
            }
            const leaving = this.countLeavingUnits(order, await this.lock.lockLines(tx, order.id), input.lines);
            // Read again, because the guard refuses units of an order that was read before its last change.
            const current = await this.lock.lock(tx, order.id);
            for (const units of leaving) {
                await this.takeOutUnits(tx, current, units);
            }
            for (const { orderLineId } of input.lines) {
                await this.releasePromise(tx, orderLineId);
            }
            await this.recordCancellation(tx, order.id, leaving, input);
            await this.cancelEmptyOrder(tx, order.id);
        });
    }

    private async cancelFulfillment(ctx: RequestContext, order: Order, fulfillmentId: ID): Promise<void> {
        const fulfillment = await this.connection.getRepository(ctx, Fulfillment).findOne({
            where: { id: fulfillmentId },
            relations: ['orders'],
        });
        if (!fulfillment?.orders.some(candidate => idsAreEqual(candidate.id, order.id))) {
            throw new UserInputError(`Order ${order.code} has no fulfillment ${fulfillmentId}. Read the order again.`);
        }
        if (fulfillment.state !== 'Cancelled') {
            // Vendure packs lines of several orders into one fulfillment where it is asked to.
            const other = fulfillment.orders.find(candidate => !idsAreEqual(candidate.id, order.id));
            if (other) {
                throw new IllegalOperationError(
                    `Fulfillment ${fulfillmentId} also has goods of order ${other.code}, so a cancellation of order ` +
                        `${order.code} must not cancel it. Pack it anew without the goods of order ${order.code}.`,
                );
            }
            const result = await this.orders.transitionFulfillmentToState(ctx, fulfillmentId, 'Cancelled');
            if (isGraphQlErrorResult(result)) {
                throw new IllegalOperationError(
                    `Fulfillment ${fulfillmentId} of order ${order.code} is ${fulfillment.state} and cannot be cancelled ` +
                        `(${result.transitionError}). Cancel it in Vendure, then close the order again.`,
                );
            }
        }
    }

    private countLeavingUnits(order: Order, lines: OrderLine[], targets: LineTargetInput[]): LeavingUnits[] {
        return targets.flatMap(({ orderLineId, remaining }) => {
            const line = lines.find(candidate => idsAreEqual(candidate.id, orderLineId));
            if (!line) {
                throw new UserInputError(`Order ${order.code} has no line ${orderLineId}. Read the order again.`);
            }
            if (remaining < 0) {
                throw new UserInputError(
                    `Line ${orderLineId} of order ${order.code} cannot have ${remaining} units remaining. ` +
                        'Name none or more.',
                );
            }
            const quantity = line.quantity - remaining;
            return quantity > 0 ? [{ line, quantity }] : [];
        });
    }

    private async takeOutUnits(ctx: RequestContext, order: Order, { line, quantity }: LeavingUnits): Promise<void> {
        await this.connection.getRepository(ctx, OrderLine).update(line.id, { quantity: line.quantity - quantity });
        await this.events.publish(new OrderLineEvent(ctx, order, line, 'cancelled'));
    }

    /**
     * Units that are promised to the line and will not be packed are for sale again. Units in a parcel are promised to
     * nobody until its fulfillment is cancelled.
     */
    private async releasePromise(ctx: RequestContext, orderLineId: ID): Promise<void> {
        const line = await this.connection.getEntityOrThrow(ctx, OrderLine, orderLineId);
        const toPack = Math.max(line.quantity - (await this.lock.countPackedUnits(ctx, line.id)), 0);
        const quantity = (await this.countPromisedUnits(ctx, line)) - toPack;
        if (quantity > 0) {
            await this.stock.createReleasesForOrderLines(ctx, [{ orderLineId, quantity }]);
        }
    }

    private async countPromisedUnits(ctx: RequestContext, line: OrderLine): Promise<number> {
        const sum = (movement: Type<Allocation | Sale | Release>): Promise<number | null> =>
            this.connection.getRepository(ctx, movement).sum('quantity', { orderLine: { id: line.id } });
        const allocated = (await sum(Allocation)) ?? 0;
        const sold = (await sum(Sale)) ?? 0; // negative
        const released = (await sum(Release)) ?? 0;
        return Math.max(allocated + sold - released, 0);
    }

    /** Write the new totals of the order, and the entry in its history. */
    private async recordCancellation(
        ctx: RequestContext,
        id: ID,
        leaving: LeavingUnits[],
        { cancelShipping, cancellationId }: CloseOrderInput,
    ): Promise<void> {
        const order = await this.connection.getEntityOrThrow(ctx, Order, id, {
            relations: ['lines', 'surcharges', 'shippingLines'],
        });
        const shippingCancelled = cancelShipping && (await this.cancelShippingLines(ctx, order));
        const surcharges = cancelShipping ? await this.takeOffSurcharges(ctx, order) : [];
        if (leaving.length === 0 && !shippingCancelled && surcharges.length === 0) {
            return;
        }
        this.calculator.calculateOrderTotals(order);
        const { subTotal, subTotalWithTax, shipping, shippingWithTax } = order;
        await this.connection
            .getRepository(ctx, Order)
            .update(id, { subTotal, subTotalWithTax, shipping, shippingWithTax });
        await this.history.createHistoryEntryForOrder({
            ctx,
            orderId: id,
            type: HistoryEntryType.ORDER_CANCELLATION,
            data: {
                lines: leaving.map(({ line, quantity }) => ({ orderLineId: line.id, quantity })),
                reason: [`Cancellation ${cancellationId}`, ...surcharges].join(', '),
                shippingCancelled,
            },
        });
    }

    /** Returns whether there was a shipping line to cancel. */
    private async cancelShippingLines(ctx: RequestContext, order: Order): Promise<boolean> {
        const shippingLines = order.shippingLines.filter(line => !isCancelled(line));
        for (const line of shippingLines) {
            line.adjustments.push({
                adjustmentSource: CANCELLED_SHIPPING,
                type: AdjustmentType.OTHER,
                description: 'shipping cancellation',
                amount: line.listPriceIncludesTax ? -line.discountedPriceWithTax : -line.discountedPrice,
                data: {},
            });
            await this.connection.getRepository(ctx, ShippingLine).save(line, { reload: false });
        }
        return shippingLines.length > 0;
    }

    /**
     * Charges go back with the shipping charge, and a reduction of the order is gone once no unit remains in it. Returns what
     * was taken off, in words, because the amounts are lost.
     */
    private async takeOffSurcharges(ctx: RequestContext, order: Order): Promise<string[]> {
        const isEmpty = order.lines.every(line => line.quantity === 0);
        const takenOff = order.surcharges.filter(
            ({ listPrice }) => listPrice > 0 || (listPrice < 0 && isEmpty),
        );
        const descriptions = takenOff.map(({ description, priceWithTax }) => `${description} (${priceWithTax}) taken off`);
        for (const surcharge of takenOff) {
            surcharge.listPrice = 0;
            await this.connection.getRepository(ctx, Surcharge).update(surcharge.id, { listPrice: 0 });
        }
        return descriptions;
    }

    /** Cancel the order where no unit remains in it. */
    private async cancelEmptyOrder(ctx: RequestContext, id: ID): Promise<void> {
        const order = await this.connection.getEntityOrThrow(ctx, Order, id, { relations: ['lines'] });
        if (order.state !== 'Cancelled' && order.lines.every(line => line.quantity === 0)) {
            const result = await this.orders.transitionToState(ctx, id, 'Cancelled');
            if (isGraphQlErrorResult(result)) {
                throw new IllegalOperationError(
                    `Order ${order.code} is ${order.state} and cannot be cancelled (${result.transitionError}). ` +
                        'Bring it into another state in Vendure, then close it again.',
                );
            }
        }
    }
}

function isCancelled(line: ShippingLine): boolean {
    return line.adjustments.some(adjustment => adjustment.adjustmentSource === CANCELLED_SHIPPING);
}
