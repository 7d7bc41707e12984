import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { Permission } from '@vendure/core';

import { type Order, type PaymentInput, type Refund, Shop } from './shop';

let shop: Shop;

before(async () => {
    shop = await Shop.start();
});

after(() => shop.stop());

/** An order of one unit, 1000, with shipping, 500. */
async function placeOrder(...payments: PaymentInput[]): Promise<Order> {
    return shop.placeOrder({ [await shop.addProduct()]: 1 }, ...payments);
}

async function readRefunds(order: Order): Promise<[string, number, string | null][]> {
    const { payments } = await shop.readOrder(order.id);
    const refunds = payments.flatMap(payment => payment.refunds);
    return refunds.map(({ state, total, transactionId }: Refund) => [state, total, transactionId]);
}

describe('noted refunds', () => {
    it('are settled refunds of their payment', async () => {
        const order = await placeOrder();
        const paymentId = order.payments[0]!.id;
        await shop.noteRefunds(order.id, 'can-1', [{ paymentId, reference: 're_1', amount: 1000 }]);
        assert.deepEqual(await readRefunds(order), [['Settled', 1000, 're_1']]);
    });

    it('are noted once, and are gone when they have failed since', async () => {
        const order = await placeOrder();
        const paymentId = order.payments[0]!.id;
        const first = { paymentId, reference: 're_1', amount: 1000 };
        await shop.noteRefunds(order.id, 'can-1', [first]);
        await shop.noteRefunds(order.id, 'can-1', [first]);
        await shop.noteRefunds(order.id, 'can-1', [first, { paymentId, reference: 're_2', amount: 500 }]);
        assert.deepEqual(await readRefunds(order), [
            ['Settled', 1000, 're_1'],
            ['Settled', 500, 're_2'],
        ]);
        await shop.noteRefunds(order.id, 'can-1', [{ paymentId, reference: 're_2', amount: 400 }]);
        assert.deepEqual(await readRefunds(order), [['Settled', 400, 're_2']]);
        await shop.noteRefunds(order.id, 'can-1', []);
        assert.deepEqual(await readRefunds(order), []);
    });

    it('at the same time are noted once', async () => {
        const order = await placeOrder();
        const refund = { paymentId: order.payments[0]!.id, reference: 're_1', amount: 1000 };
        await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(() => shop.noteRefunds(order.id, 'can-1', [refund])));
        assert.deepEqual(await readRefunds(order), [['Settled', 1000, 're_1']]);
    });

    it('leave those of other cancellations, and those that staff asked for', async () => {
        const order = await placeOrder();
        const paymentId = order.payments[0]!.id;
        await shop.noteRefunds(order.id, 'can-1', [{ paymentId, reference: 're_1', amount: 300 }]);
        await refundByHand(order);
        await shop.noteRefunds(order.id, 'can-2', [{ paymentId, reference: 're_2', amount: 200 }]);
        await shop.noteRefunds(order.id, 'can-2', []);
        assert.deepEqual(await readRefunds(order), [
            ['Settled', 300, 're_1'],
            ['Failed', 100, ''],
        ]);
    });

    it('are more than nothing, and together no more than their payment', async () => {
        const order = await placeOrder();
        const paymentId = order.payments[0]!.id;
        const note = (...amounts: number[]): Promise<void> => {
            const refunds = amounts.map((amount, index) => ({ paymentId, reference: `re_${index}`, amount }));
            return shop.noteRefunds(order.id, 'can-1', refunds);
        };
        for (const amount of [0, -500]) {
            await assert.rejects(
                note(amount),
                new RegExp(`Refund re_0 of order ${order.code} is ${amount}. Note what was given back, more than nothing.`),
            );
        }
        await assert.rejects(
            note(1000, 501),
            new RegExp(`Payment ${paymentId} of order ${order.code} is 1500, and 1501 cannot be given back of it.`),
        );
        assert.deepEqual(await readRefunds(order), []);
        await note(1000, 500);
        assert.deepEqual(await readRefunds(order), [
            ['Settled', 1000, 're_0'],
            ['Settled', 500, 're_1'],
        ]);
    });

    it('belong to a payment of their order', async () => {
        const order = await placeOrder();
        const paymentId = (await placeOrder()).payments[0]!.id;
        await assert.rejects(
            shop.noteRefunds(order.id, 'can-1', [{ paymentId, reference: 're_1', amount: 1 }]),
            new RegExp(`Order ${order.code} has no payment ${paymentId}. Read the order again.`),
        );
    });
});

async function refundByHand(order: Order): Promise<void> {
    await shop.change(
        `refundOrder(input: { paymentId: "${order.payments[0]!.id}", amount: 100, shipping: 0, adjustment: 0, lines: [] }) {
            ... on Refund { id } ... on ErrorResult { message }
        }`,
    );
}

describe('a recorded payment', () => {
    it('has the reference of the gateway', async () => {
        const order = await placeOrder({ metadata: { reference: 'pi_42' } });
        assert.deepEqual(
            order.payments.map(({ state, amount, transactionId }) => [state, amount, transactionId]),
            [['Settled', 1500, 'pi_42']],
        );
    });

    it('may be authorised only, until its capture is recorded', async () => {
        const order = await placeOrder({ metadata: { reference: 'pi_1', capturable: true } });
        assert.equal(order.state, 'PaymentAuthorized');
        await shop.settlePayment(order.payments[0]!.id);
        assert.equal((await shop.readOrder(order.id)).state, 'PaymentSettled');
    });

    it('may pay a part of the order', async () => {
        const order = await placeOrder(
            { metadata: { reference: 'gift_1', amount: 400 } },
            { metadata: { reference: 'pi_1' } },
        );
        assert.deepEqual(
            order.payments.map(({ amount, transactionId }) => [amount, transactionId]),
            [
                [400, 'gift_1'],
                [1100, 'pi_1'],
            ],
        );
    });

    it('is refused without a reference, and with other nonsense', async () => {
        await assert.rejects(placeOrder({ metadata: {} }), /need a reference, the id of the payment at the gateway/);
        await assert.rejects(
            placeOrder({ metadata: { reference: 'pi_1', capturable: 'no' } }),
            /capturable is true or false/,
        );
        await assert.rejects(placeOrder({ metadata: { reference: 'pi_1', amount: 1501 } }), /at most 1500/);
    });

    it('is not taken from the storefront unless the merchant wants that', async () => {
        await assert.rejects(
            placeOrder({ method: 'unsafe', metadata: { reference: 'pi_of_somebody_else' } }),
            /takes no payments from the storefront/,
        );
    });

    it('is not refunded by Vendure', async () => {
        const order = await placeOrder();
        await refundByHand(order);
        const [refund] = (await shop.readOrder(order.id)).payments[0]!.refunds;
        assert.equal(refund!.state, 'Failed');
        assert.match(
            String(refund!.metadata.errorMessage),
            /^Vendure only records .* Ask for a cancellation of the order/,
        );
    });

    it('is replaced, with the other parts of the same payment', async () => {
        const order = await placeOrder(
            { metadata: { reference: 'pi_1', amount: 400 } },
            { metadata: { reference: 'gift_1', amount: 100 } },
            { metadata: { reference: 'pi_1' } },
        );
        for (const _repetition of [1, 2]) {
            await shop.change(
                `replacePayment(paymentId: "${order.payments[0]!.id}", reference: "pi_2") { id: success }`,
            );
            assert.deepEqual(
                (await shop.readOrder(order.id)).payments.map(({ transactionId }) => transactionId),
                ['pi_2', 'gift_1', 'pi_2'],
            );
        }
    });
});

describe('the API', () => {
    const MUTATIONS = [
        'holdOrder(orderId: "1", cancellationId: "can-1")',
        'releaseOrder(orderId: "1", cancellationId: "can-1") { success }',
        `closeOrder(input: { orderId: "1", cancellationId: "can-1", lines: [], fulfillmentIds: [], cancelShipping: false }) {
            id
        }`,
        'noteRefunds(orderId: "1", cancellationId: "can-1", refunds: []) { id }',
        'replacePayment(paymentId: "1", reference: "pi_1") { success }',
        'recordLabel(fulfillmentId: "1", carrier: "UPS", labelReference: "shp_1", trackingCode: "1Z1") { id }',
    ];

    it('lets nobody but staff who may update orders change them', async () => {
        await placeOrder();
        const reader = await shop.addStaff('reader', [Permission.ReadOrder]);
        for (const client of [reader, shop.anonymousStaff()]) {
            for (const mutation of MUTATIONS) {
                await assert.rejects(client.send(`mutation { ${mutation} }`), /You are not currently authorized/);
            }
        }
    });

    it('needs no other permissions than those to read and update orders', async () => {
        const order = await placeOrder();
        const user = await shop.addStaff('cancellations', [Permission.ReadOrder, Permission.UpdateOrder]);
        const answer = await user.send<{ order: { code: string } }>(
            `query($id: ID!) {
                globalSettings { serverConfig { moneyStrategyPrecision } }
                activeChannel { defaultCurrencyCode }
                order(id: $id) {
                    code
                    customer { emailAddress }
                    shippingAddress { countryCode }
                    lines { productVariant { sku customFields { saleCondition } } }
                    payments { transactionId refunds { metadata } }
                    fulfillments { lines { quantity } }
                }
            }`,
            { id: order.id },
        );
        assert.equal(answer.order.code, order.code);
        const hold = 'mutation($id: ID!) { holdOrder(orderId: $id, cancellationId: "can-1") }';
        assert.deepEqual(await user.send(hold, { id: order.id }), { holdOrder: 'HELD' });
    });

    it('says its version to staff who may read orders', async () => {
        const query = '{ orderCancellationPlugin { version } }';
        const { version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf-8')) as {
            version: string;
        };
        const reader = await shop.addStaff('another reader', [Permission.ReadOrder]);
        assert.deepEqual(await reader.send(query), { orderCancellationPlugin: { version } });
        const stranger = await shop.addStaff('stranger', [Permission.ReadCatalog]);
        await assert.rejects(stranger.send(query), /You are not currently authorized/);
    });

    it('shows and sets what a cancellation has to know of an order', async () => {
        const { id } = await placeOrder();
        const { setOrderCustomFields } = await shop.staff.send<{ setOrderCustomFields: unknown }>(
            `mutation($id: ID!) {
                setOrderCustomFields(input: { id: $id, customFields: { fraudReview: true, euConsumer: true } }) {
                    customFields { fraudReview euConsumer }
                    lines { productVariant { customFields { saleCondition } } }
                }
            }`,
            { id },
        );
        assert.deepEqual(setOrderCustomFields, {
            customFields: { fraudReview: true, euConsumer: true },
            lines: [{ productVariant: { customFields: { saleCondition: 'regular' } } }],
        });
    });

    it('lets nobody set by hand who holds an order', async () => {
        const { id } = await placeOrder();
        await assert.rejects(
            shop.change(
                `setOrderCustomFields(input: { id: "${id}", customFields: { heldByCancellation: "can-1" } }) { id }`,
            ),
            /heldByCancellation/,
        );
    });
});
