import { Injectable } from '@nestjs/common';
import {
    EntityNotFoundError,
    Fulfillment,
    type ID,
    idsAreEqual,
    type Order,
    Payment,
    Refund,
    type RequestContext,
    TransactionalConnection,
    UserInputError,
} from '@vendure/core';

import { OrderHolds } from './holds';
import { OrderLock } from './order-lock';

export interface NotedRefundInput {
    paymentId: ID;
    reference: string;
    amount: number;
}

export interface RecordLabelInput {
    fulfillmentId: ID;
    carrier: string;
    labelReference: string;
    trackingCode: string;
}

/** What happened at the gateway and at the carrier, written into Vendure's books. Nothing here calls either of them. */
@Injectable()
export class OrderRecords {
    constructor(
        private readonly connection: TransactionalConnection,
        private readonly lock: OrderLock,
        private readonly holds: OrderHolds,
    ) {}

    /** `refunds` are all that this cancellation gives back. The refunds of others stay as they are. */
    async noteRefunds(
        ctx: RequestContext,
        orderId: ID,
        cancellationId: string,
        refunds: NotedRefundInput[],
    ): Promise<void> {
        await this.lock.change(ctx, orderId, async (tx, order) => {
            const repository = this.connection.getRepository(tx, Refund);
            const payments = await this.connection.getRepository(tx, Payment).find({
                where: { order: { id: orderId } },
                relations: ['refunds'],
            });
            this.refuseWrongAmounts(order, payments, refunds);
            const noted = payments
                .flatMap(payment => payment.refunds.map(refund => ({ refund, paymentId: payment.id })))
                .filter(({ refund }) => refund.metadata.cancellationId === cancellationId);
            const kept = new Set<Refund>();
            for (const { paymentId, reference, amount } of refunds) {
                const payment = payments.find(candidate => idsAreEqual(candidate.id, paymentId));
                if (!payment) {
                    throw new UserInputError(`Order ${order.code} has no payment ${paymentId}. Read the order again.`);
                }
                const match = noted.find(
                    known => idsAreEqual(known.paymentId, paymentId) && known.refund.transactionId === reference,
                );
                if (match) {
                    kept.add(match.refund);
                    await repository.update(match.refund.id, { total: amount });
                } else {
                    const refund = new Refund({
                        payment,
                        method: payment.method,
                        state: 'Settled',
                        total: amount,
                        transactionId: reference,
                        reason: `Cancellation ${cancellationId}`,
                        items: 0,
                        shipping: 0,
                        adjustment: 0,
                    });
                    refund.metadata = { cancellationId };
                    await repository.save(refund);
                }
            }
            // Refunds that were noted before and are not listed now have failed at the gateway since.
            await repository.remove(noted.map(({ refund }) => refund).filter(refund => !kept.has(refund)));
        });
    }

    private refuseWrongAmounts(order: Order, payments: Payment[], refunds: NotedRefundInput[]): void {
        for (const { reference, amount } of refunds) {
            if (amount <= 0) {
                throw new UserInputError(
                    `Refund ${reference} of order ${order.code} is ${amount}. Note what was given back, more than nothing.`,
                );
            }
        }
        for (const payment of payments) {
            const given = refunds
                .filter(({ paymentId }) => idsAreEqual(paymentId, payment.id))
                .reduce((sum, { amount }) => sum + amount, 0);
            if (given > payment.amount) {
                throw new UserInputError(
                    `Payment ${payment.id} of order ${order.code} is ${payment.amount}, and ${given} cannot be given back of ` +
                        'it. Compare the refunds with the gateway.',
                );
            }
        }
    }

    async replacePayment(ctx: RequestContext, paymentId: ID, reference: string): Promise<void> {
        const { order } = await this.connection.getEntityOrThrow(ctx, Payment, paymentId, { relations: ['order'] });
        await this.lock.change(ctx, order.id, async tx => {
            const repository = this.connection.getRepository(tx, Payment);
            const { transactionId } = await this.connection.getEntityOrThrow(tx, Payment, paymentId);
            // Payments with the same reference are parts of one payment at the gateway.
            await repository.update(transactionId ? { order: { id: order.id }, transactionId } : { id: paymentId }, {
                transactionId: reference,
            });
        });
    }

    async recordLabel(ctx: RequestContext, input: RecordLabelInput): Promise<Fulfillment> {
        const { fulfillmentId, carrier, labelReference, trackingCode } = input;
        const { orders } = await this.connection.getEntityOrThrow(ctx, Fulfillment, fulfillmentId, {
            relations: ['orders'],
        });
        const [order] = orders;
        if (!order) {
            throw new EntityNotFoundError('Fulfillment', fulfillmentId);
        }
        return this.lock.change(ctx, order.id, async tx => {
            for (const { id } of orders) {
                await this.holds.refuseIfHeld(tx, id, 'its parcels must not be labelled');
            }
            await this.connection
                .getRepository(tx, Fulfillment)
                .update(fulfillmentId, { trackingCode, customFields: { carrier, labelReference } });
            return this.connection.getEntityOrThrow(tx, Fulfillment, fulfillmentId);
        });
    }
}
