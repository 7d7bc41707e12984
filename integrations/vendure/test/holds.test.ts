import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { FulfillmentHandler, LanguageCode, PaymentMethodHandler } from '@vendure/core';

import { type Line, type Order, type PaymentInput, Shop } from './shop';

// What handlers did elsewhere, before Vendure's processes are asked: orders captured, methods of labels bought.
const captured: string[] = [];
const labels: string[] = [];
const gateway = new PaymentMethodHandler({
    code: 'gateway',
    description: [{ languageCode: LanguageCode.en, value: 'A gateway' }],
    args: {},
    createPayment: (_ctx, _order, amount) => ({ amount, state: 'Authorized', transactionId: 'pi_gateway' }),
    settlePayment: (_ctx, order) => {
        captured.push(order.code);
        return { success: true };
    },
});

const carrier = new FulfillmentHandler({
    code: 'carrier',
    description: [{ languageCode: LanguageCode.en, value: 'A carrier' }],
    args: { method: { type: 'string' } },
    createFulfillment: (_ctx, _orders, _lines, { method }) => {
        labels.push(method);
        return { method, customFields: { carrier: method, labelReference: 'shp_7' } };
    },
});

let shop: Shop;

before(async () => {
    shop = await Shop.start([gateway], [carrier]);
});

after(() => shop.stop());

interface Sale {
    order: Order;
    line: Line;
    variantId: string;
}

/** An order of three units. */
async function placeOrder(...payments: PaymentInput[]): Promise<Sale> {
    const variantId = await shop.addProduct();
    const order = await shop.placeOrder({ [variantId]: 3 }, ...payments);
    return { order, line: order.lines[0]!, variantId };
}

/** `change` is refused in a sentence, to staff and to another cancellation, and the holder may do it. */
async function onlyHolderMay(order: Order, change: (cancellation?: string) => Promise<unknown>): Promise<void> {
    assert.equal(await shop.hold(order.id, 'can-1'), 'HELD');
    const stateBefore = await shop.readOrder(order.id);
    const sentence = new RegExp(
        `^Error: Order ${order.code} is held by cancellation can-1 and .+\\. Wait until the cancellation is done, or withdraw it\\.$`,
    );
    await assert.rejects(change(), sentence);
    await assert.rejects(change('can-2'), sentence);
    assert.deepEqual(await shop.readOrder(order.id), stateBefore);
    await change('can-1');
}

describe('a held order', () => {
    it('is not packed, and no label is bought for it', async () => {
        const { order, line } = await placeOrder();
        await onlyHolderMay(order, cancellation => shop.pack(line, 3, cancellation, 'carrier'));
        assert.deepEqual(labels, ['DHL']);
        const { fulfillments } = await shop.readOrder(order.id);
        assert.deepEqual(
            fulfillments.map(({ customFields }) => customFields),
            [{ carrier: 'DHL', labelReference: 'shp_7' }],
        );
    });

    it('is not shipped; deliveries are still recorded', async () => {
        const { order, line } = await placeOrder();
        const shipped = await shop.pack(line, 1);
        await shop.moveFulfillment(shipped, 'Shipped');
        const pending = await shop.pack(line, 2);
        await onlyHolderMay(order, cancellation => shop.moveFulfillment(pending, 'Shipped', cancellation));
        await shop.moveFulfillment(shipped, 'Delivered');
        assert.equal((await shop.readOrder(order.id)).state, 'PartiallyDelivered');
    });

    it('keeps its parcels', async () => {
        const { order, line, variantId } = await placeOrder();
        const pending = await shop.pack(line, 2);
        await onlyHolderMay(order, cancellation => shop.moveFulfillment(pending, 'Cancelled', cancellation));
        assert.deepEqual(await shop.readStock(variantId), { stockOnHand: 10, stockAllocated: 3 });
    });

    it('is not handed over', async () => {
        const { order, line } = await placeOrder();
        const pending = await shop.pack(line, 3);
        await onlyHolderMay(order, cancellation => shop.moveFulfillment(pending, 'Delivered', cancellation));
    });

    it('is not captured, and the gateway is not asked to', async () => {
        const { order } = await placeOrder({ method: 'gateway', metadata: {} });
        const [payment] = order.payments;
        assert.equal(payment!.state, 'Authorized');
        await onlyHolderMay(order, cancellation => shop.settlePayment(payment!.id, cancellation));
        assert.deepEqual(captured, [order.code]);
    });

    it('takes no payment', async () => {
        const { order } = await placeOrder();
        await shop.moveOrder(order.id, 'ArrangingAdditionalPayment');
        const payment = `input: { orderId: "${order.id}", method: "cash", transactionId: "by hand", metadata: {} }`;
        await onlyHolderMay(order, cancellation =>
            shop.change(
                `addManualPaymentToOrder(${payment}) { ... on Order { id } ... on ErrorResult { message } }`,
                cancellation,
            ),
        );
    });

    it('is not modified', async () => {
        const { order } = await placeOrder();
        await onlyHolderMay(order, cancellation => shop.moveOrder(order.id, 'Modifying', cancellation));
    });

    it('is not cancelled', async () => {
        const { order } = await placeOrder();
        await onlyHolderMay(order, cancellation => shop.cancelUnits(order, undefined, 0, cancellation));
    });

    it('keeps its units and their stock', async () => {
        const { order, line, variantId } = await placeOrder();
        await onlyHolderMay(order, cancellation => shop.cancelUnits(order, line, 1, cancellation));
        assert.deepEqual(await shop.readStock(variantId), { stockOnHand: 10, stockAllocated: 2 });
    });

    it('gets no label', async () => {
        const { order, line } = await placeOrder();
        const pending = await shop.pack(line, 3);
        await onlyHolderMay(order, cancellation =>
            shop.change(
                `recordLabel(fulfillmentId: "${pending}", carrier: "UPS", labelReference: "shp_1", trackingCode: "1Z1") { id }`,
                cancellation,
            ),
        );
        const { fulfillments } = await shop.readOrder(order.id);
        assert.deepEqual(fulfillments[0], {
            id: pending,
            state: 'Pending',
            trackingCode: '1Z1',
            customFields: { carrier: 'UPS', labelReference: 'shp_1' },
        });
    });

    it('gets no label for a parcel that it shares with an order which is not held', async () => {
        const other = await placeOrder();
        const held = await placeOrder();
        const parcel = await shop.packTogether([other.line, held.line]);
        await shop.hold(held.order.id, 'can-1');
        await assert.rejects(
            shop.change(
                `recordLabel(fulfillmentId: "${parcel}", carrier: "UPS", labelReference: "shp_1", trackingCode: "1Z1") { id }`,
            ),
            new RegExp(`Order ${held.order.code} is held by cancellation can-1`),
        );
    });

    it('takes notes', async () => {
        const { order } = await placeOrder();
        await shop.hold(order.id, 'can-1');
        await shop.change(
            `addNoteToOrder(input: { id: "${order.id}", note: "Called the customer", isPublic: false }) { id }`,
        );
    });
});

describe('a hold', () => {
    it('is set once and may be repeated', async () => {
        const { order } = await placeOrder();
        assert.equal(await shop.hold(order.id, 'can-1'), 'HELD');
        assert.equal(await shop.hold(order.id, 'can-1'), 'HELD');
        assert.equal(await shop.hold(order.id, 'can-2'), 'HELD_BY_ANOTHER');
        assert.equal((await shop.readOrder(order.id)).customFields.heldByCancellation, 'can-1');
    });

    it('is not set while the order is being modified, which could not be finished then', async () => {
        const { order } = await placeOrder();
        await shop.moveOrder(order.id, 'Modifying');
        await assert.rejects(shop.hold(order.id, 'can-1'), /is being modified and cannot be held\. Finish that/);
        await shop.moveOrder(order.id, 'PaymentSettled');
        assert.equal(await shop.hold(order.id, 'can-1'), 'HELD');
    });

    it('is set by one of several requests at the same moment', async () => {
        for (const _repetition of [1, 2, 3, 4, 5]) {
            const { order } = await placeOrder();
            const cancellations = [1, 2, 3, 4, 5, 6, 7, 8].map(number => `can-${number}`);
            const answers = await Promise.all(cancellations.map(cancellation => shop.hold(order.id, cancellation)));
            assert.deepEqual(answers.sort(), ['HELD', ...Array<string>(7).fill('HELD_BY_ANOTHER')]);
        }
    });

    it('is set before or after a parcel is packed, never in between', async () => {
        for (const _repetition of [1, 2, 3, 4, 5]) {
            const { order, line } = await placeOrder();
            const packed = shop.pack(line, 3).then(
                () => 1,
                () => 0,
            );
            assert.equal(await shop.hold(order.id, 'can-1'), 'HELD');
            const { fulfillments } = await shop.readOrder(order.id);
            assert.equal(fulfillments.length, await packed);
        }
    });

    it('is kept by an order whose parcel is delivered at that moment', async () => {
        for (const _repetition of [1, 2, 3, 4, 5]) {
            const { order, line } = await placeOrder();
            const parcel = await shop.pack(line, 3);
            await shop.moveFulfillment(parcel, 'Shipped');
            const [, answer] = await Promise.all([
                shop.moveFulfillment(parcel, 'Delivered'),
                shop.hold(order.id, 'can-1'),
            ]);
            const { state, customFields } = await shop.readOrder(order.id);
            assert.deepEqual([answer, state, customFields.heldByCancellation], ['HELD', 'Delivered', 'can-1']);
        }
    });

    it('is refused once its cancellation has released the order, held or not', async () => {
        const { order, line } = await placeOrder();
        await shop.hold(order.id, 'can-1');
        assert.equal(await shop.release(order.id, 'can-1'), true);
        assert.equal(await shop.release(order.id, 'can-1'), true);
        assert.equal(await shop.release(order.id, 'can-2'), true);
        assert.equal(await shop.hold(order.id, 'can-1'), 'RELEASED');
        assert.equal(await shop.hold(order.id, 'can-2'), 'RELEASED');
        await shop.pack(line, 3);
        assert.equal(await shop.hold(order.id, 'can-3'), 'HELD');
    });

    it('is refused once its cancellation has closed the order', async () => {
        const { order, line } = await placeOrder();
        await shop.hold(order.id, 'can-1');
        await shop.close(order, { remaining: { [line.id]: 2 } });
        assert.equal((await shop.readOrder(order.id)).customFields.heldByCancellation, null);
        assert.equal(await shop.hold(order.id, 'can-1'), 'RELEASED');
        await shop.pack(line, 2);
    });

    it('is not ended by the release of another cancellation, which is answered so', async () => {
        const { order } = await placeOrder();
        await shop.hold(order.id, 'can-1');
        assert.equal(await shop.release(order.id, 'can-2'), false);
        assert.equal(await shop.hold(order.id, 'can-2'), 'RELEASED');
        assert.equal((await shop.readOrder(order.id)).customFields.heldByCancellation, 'can-1');
    });

    it('keeps another cancellation from closing the order', async () => {
        const { order, line } = await placeOrder();
        await shop.hold(order.id, 'can-1');
        await assert.rejects(
            shop.close(order, { cancellationId: 'can-2', remaining: { [line.id]: 0 } }),
            new RegExp(`Order ${order.code} is held by cancellation can-1, so can-2 must not close it`),
        );
        assert.equal((await shop.readOrder(order.id)).lines[0]!.quantity, 3);
    });

    it('needs a cancellation, and so does all that one does to an order', async () => {
        const { order, line } = await placeOrder();
        for (const cancellationId of ['', ' ']) {
            for (const change of [
                () => shop.hold(order.id, cancellationId),
                () => shop.release(order.id, cancellationId),
                () => shop.close(order, { cancellationId, remaining: { [line.id]: 0 } }),
                () => shop.noteRefunds(order.id, cancellationId, []),
            ]) {
                await assert.rejects(change, /No cancellation is named\. Give its id as cancellationId\./);
            }
        }
        assert.deepEqual(await shop.readOrder(order.id), order);
        assert.equal(await shop.hold(order.id, 'can-1'), 'HELD');
    });

    it('needs an order of the shop', async () => {
        await assert.rejects(shop.hold('999', 'can-1'), /No Order with the id "999" could be found/);
    });
});
