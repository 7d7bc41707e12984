import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import {
    Fulfillment,
    OrderService,
    Payment,
    PaymentMethodService,
    TransactionalConnection,
} from '@vendure/core';

import { guardedFulfillments } from '../src/hold-guard';
import { type Closing, type Line, type Order, type PaymentInput, Shop } from './shop';

let shop: Shop;

before(async () => {
    shop = await Shop.start();
});

after(() => shop.stop());

interface Sale {
    order: Order;
    line: Line;
    variantId: string;
}

/** An order of three units, of which there were ten. */
async function placeOrder(...payments: PaymentInput[]): Promise<Sale> {
    const variantId = await shop.addProduct();
    const order = await shop.placeOrder({ [variantId]: 3 }, ...payments);
    return { order, line: order.lines[0]!, variantId };
}

/**
 * Hold the order and close it while `change` is under way. The database may refuse either of the two as a deadlock, so the
 * close is repeated.
 */
async function closeDuring(
    { order, line }: Sale,
    remaining: number,
    change: () => Promise<unknown>,
    closing: Omit<Closing, 'remaining'> = {},
): Promise<void> {
    await shop.hold(order.id, 'can-1');
    const close = (): Promise<void> => shop.close(order, { ...closing, remaining: { [line.id]: remaining } });
    await Promise.allSettled([close(), change()]);
    await close();
}

const repetitions = [1, 2, 3];

describe('while an order is closed', () => {
    for (const remaining of [0, 1]) {
        it(`units are not packed beyond the ${remaining} that remain`, async () => {
            for (const _repetition of repetitions) {
                const sale = await placeOrder();
                await closeDuring(sale, remaining, () => shop.pack(sale.line, 3));
                assert.deepEqual((await shop.readOrder(sale.order.id)).fulfillments, []);
                assert.deepEqual(await shop.readStock(sale.variantId), { stockOnHand: 10, stockAllocated: remaining });
            }
        });
    }

    it('a cancelled parcel is not shipped', async () => {
        for (const _repetition of repetitions) {
            const sale = await placeOrder();
            const parcel = await shop.pack(sale.line, 3);
            await closeDuring(sale, 0, () => shop.moveFulfillment(parcel, 'Shipped'), { fulfillmentIds: [parcel] });
            const { state, fulfillments } = await shop.readOrder(sale.order.id);
            assert.deepEqual([state, fulfillments[0]!.state], ['Cancelled', 'Cancelled']);
            assert.deepEqual(await shop.readStock(sale.variantId), { stockOnHand: 10, stockAllocated: 0 });
        }
    });

    it('a parcel that has come back is not delivered', async () => {
        for (const _repetition of repetitions) {
            const sale = await placeOrder();
            const parcel = await shop.pack(sale.line, 3);
            await shop.moveFulfillment(parcel, 'Shipped');
            const deliver = (): Promise<unknown> => shop.moveFulfillment(parcel, 'Delivered');
            await closeDuring(sale, 0, deliver, { fulfillmentIds: [parcel] });
            const { state, fulfillments } = await shop.readOrder(sale.order.id);
            assert.deepEqual([state, fulfillments[0]!.state], ['Cancelled', 'Cancelled']);
            assert.deepEqual(await shop.readStock(sale.variantId), { stockOnHand: 10, stockAllocated: 0 });
        }
    });

    it('a parcel whose shipment has begun before is refused', async () => {
        const sale = await placeOrder();
        const id = await shop.pack(sale.line, 3);
        const ctx = await shop.createContext();
        const read = await shop.get(TransactionalConnection).getEntityOrThrow(ctx, Fulfillment, id, {
            relations: ['orders'],
        });
        await shop.close(sale.order, { remaining: { [sale.line.id]: 0 }, fulfillmentIds: [id] });
        await assert.rejects(
            async () =>
                guardedFulfillments.onTransitionStart!('Pending', 'Shipped', {
                    ctx,
                    fulfillment: read,
                    orders: read.orders,
                }),
            new RegExp(`^Fulfillment ${id} was Pending when this request began and is Cancelled now`),
        );
    });

    it('it is not modified', async () => {
        for (const _repetition of repetitions) {
            const sale = await placeOrder();
            await closeDuring(sale, 0, () => shop.moveOrder(sale.order.id, 'Modifying'));
            assert.equal((await shop.readOrder(sale.order.id)).state, 'Cancelled');
        }
    });

    it('staff puts no units back by cancelling others', async () => {
        for (const _repetition of repetitions) {
            const sale = await placeOrder();
            await closeDuring(sale, 0, () => shop.cancelUnits(sale.order, sale.line, 1));
            const { state, lines } = await shop.readOrder(sale.order.id);
            assert.deepEqual([state, lines[0]!.quantity], ['Cancelled', 0]);
            assert.deepEqual(await shop.readStock(sale.variantId), { stockOnHand: 10, stockAllocated: 0 });
        }
    });
});

describe('a capture that has read the order before', () => {
    /** Capture as Vendure does, by what it has read before `change`. */
    async function captureAfter(order: Order, change: () => Promise<unknown>): Promise<void> {
        const ctx = await shop.createContext();
        const read = await shop.get(TransactionalConnection).getEntityOrThrow(ctx, Payment, order.payments[0]!.id, {
            relations: ['order'],
        });
        const { handler, paymentMethod } = await shop.get(PaymentMethodService).getMethodAndOperations(ctx, read.method);
        await change();
        await handler.settlePayment(ctx, read.order, read, paymentMethod.handler.args, paymentMethod);
    }

    const authorised: PaymentInput = { metadata: { reference: 'pi_1', capturable: true } };

    it('is refused once the order is cancelled', async () => {
        const { order, line } = await placeOrder(authorised);
        await assert.rejects(
            captureAfter(order, () => shop.close(order, { remaining: { [line.id]: 0 }, cancelShipping: true })),
            new RegExp(`^Order ${order.code} was PaymentAuthorized when this request began and is Cancelled now`),
        );
    });

    it('is refused once the order costs less', async () => {
        const { order, line } = await placeOrder(authorised);
        await assert.rejects(
            captureAfter(order, () => shop.close(order, { remaining: { [line.id]: 2 } })),
            new RegExp(`^The total of order ${order.code} has changed since this request began`),
        );
    });

    it('is refused once the payment is cancelled', async () => {
        const { order } = await placeOrder(authorised);
        const [payment] = order.payments;
        await assert.rejects(
            captureAfter(order, async () =>
                shop.get(OrderService).cancelPayment(await shop.createContext(), payment!.id),
            ),
            new RegExp(`^Payment ${payment!.id} of order ${order.code} was Authorized when .+ is Cancelled now`),
        );
    });
});

describe('code of the merchant that has no transaction', () => {
    it('captures', async () => {
        const { order } = await placeOrder({ metadata: { reference: 'pi_1', capturable: true } });
        await shop.get(OrderService).settlePayment(await shop.createContext(), order.payments[0]!.id);
        assert.equal((await shop.readOrder(order.id)).payments[0]!.state, 'Settled');
    });

    it('packs, and not what another has packed', async () => {
        const { order, line } = await placeOrder();
        const pack = async (): Promise<unknown> =>
            shop.get(OrderService).createFulfillment(await shop.createContext(), {
                lines: [{ orderLineId: line.id, quantity: 2 }],
                handler: { code: 'manual-fulfillment', arguments: [{ name: 'method', value: 'DHL' }] },
            });
        await pack();
        await pack();
        const { fulfillments } = await shop.readOrder(order.id);
        assert.deepEqual(
            fulfillments.map(({ state }) => state),
            ['Pending'],
        );
    });

    it('cancels', async () => {
        const { order } = await placeOrder();
        await shop.get(OrderService).cancelOrder(await shop.createContext(), { orderId: order.id });
        assert.equal((await shop.readOrder(order.id)).state, 'Cancelled');
    });

    it('is refused while the order is held', async () => {
        const { order } = await placeOrder();
        await shop.hold(order.id, 'can-1');
        await assert.rejects(
            shop.get(OrderService).cancelOrder(await shop.createContext(), { orderId: order.id }),
            new RegExp(`Order ${order.code} is held by cancellation can-1`),
        );
    });
});
