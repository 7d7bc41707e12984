import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { type Closing, type Order, Shop } from './shop';

let shop: Shop;

before(async () => {
    shop = await Shop.start();
});

after(() => shop.stop());

/** An order of one line, whose product there were ten of. */
class Sale {
    private constructor(
        readonly variantId: string,
        readonly order: Order,
    ) {}

    static async of(quantity: number): Promise<Sale> {
        const variantId = await shop.addProduct();
        return new Sale(variantId, await shop.placeOrder({ [variantId]: quantity }));
    }

    get line(): Order['lines'][number] {
        return this.order.lines[0]!;
    }

    async close(remaining: number, closing: Omit<Closing, 'remaining'> = {}): Promise<void> {
        await shop.close(this.order, { ...closing, remaining: { [this.line.id]: remaining } });
    }

    async assertStock(expected: { onHand: number; allocated: number }): Promise<void> {
        const { stockOnHand, stockAllocated } = await shop.readStock(this.variantId);
        assert.deepEqual({ onHand: stockOnHand, allocated: stockAllocated }, expected);
    }

    async assertQuantity(quantity: number): Promise<void> {
        assert.equal((await shop.readOrder(this.order.id)).lines[0]!.quantity, quantity);
    }
}

describe('a close', () => {
    it('takes out the whole order, with its shipping', async () => {
        const sale = await Sale.of(3);
        await sale.assertStock({ onHand: 10, allocated: 3 });
        await shop.hold(sale.order.id, 'can-1');
        await sale.close(0, { cancelShipping: true });
        const { state, shippingWithTax, totalWithTax, customFields } = await shop.readOrder(sale.order.id);
        assert.deepEqual(
            { state, shippingWithTax, totalWithTax, heldBy: customFields.heldByCancellation },
            { state: 'Cancelled', shippingWithTax: 0, totalWithTax: 0, heldBy: null },
        );
        await sale.assertStock({ onHand: 10, allocated: 0 });
    });

    it('leaves what is not cancelled', async () => {
        const sale = await Sale.of(3);
        await sale.close(2);
        const { state, totalWithTax } = await shop.readOrder(sale.order.id);
        assert.deepEqual({ state, totalWithTax }, { state: 'PaymentSettled', totalWithTax: 2500 });
        await sale.assertQuantity(2);
        await sale.assertStock({ onHand: 10, allocated: 2 });
    });

    it('changes nothing when it is repeated, and takes off shipping once', async () => {
        const sale = await Sale.of(3);
        await sale.close(2, { cancelShipping: true });
        await sale.close(2, { cancelShipping: true });
        const { shippingWithTax, totalWithTax } = await shop.readOrder(sale.order.id);
        assert.deepEqual({ shippingWithTax, totalWithTax }, { shippingWithTax: 0, totalWithTax: 2000 });
        await sale.assertQuantity(2);
        await sale.assertStock({ onHand: 10, allocated: 2 });
        assert.equal((await shop.readCancellations(sale.order.id)).length, 1);
    });

    it('changes nothing in a cancelled order', async () => {
        const sale = await Sale.of(3);
        await sale.close(0);
        await sale.close(0);
        await sale.assertStock({ onHand: 10, allocated: 0 });
    });

    it('takes the units out once among several at the same moment', async () => {
        const sale = await Sale.of(5);
        const fulfillmentId = await shop.pack(sale.line, 2);
        await Promise.all(
            [1, 2, 3, 4, 5, 6, 7, 8].map(() =>
                sale.close(1, { fulfillmentIds: [fulfillmentId], cancelShipping: true }),
            ),
        );
        const { shippingWithTax, totalWithTax } = await shop.readOrder(sale.order.id);
        assert.deepEqual({ shippingWithTax, totalWithTax }, { shippingWithTax: 0, totalWithTax: 1000 });
        await sale.assertQuantity(1);
        await sale.assertStock({ onHand: 10, allocated: 1 });
        assert.equal((await shop.readCancellations(sale.order.id)).length, 1);
    });

    it('counts what others have taken out', async () => {
        const sale = await Sale.of(3);
        await shop.cancelUnits(sale.order, sale.line, 1);
        await sale.close(1);
        await sale.assertQuantity(1);
        await sale.assertStock({ onHand: 10, allocated: 1 });
    });

    it('refuses less than nothing', async () => {
        const sale = await Sale.of(3);
        await assert.rejects(
            sale.close(-1),
            new RegExp(`Line ${sale.line.id} of order ${sale.order.code} cannot have -1 units remaining`),
        );
        await sale.assertQuantity(3);
    });

    it('goes by what remains where staff has added units since the order was placed', async () => {
        const sale = await Sale.of(3);
        await shop.moveOrder(sale.order.id, 'Modifying');
        await shop.change(
            `modifyOrder(input: {
                orderId: "${sale.order.id}", dryRun: false, adjustOrderLines: [{ orderLineId: "${sale.line.id}", quantity: 6 }]
            }) { ... on Order { id } ... on ErrorResult { message } }`,
        );
        await sale.close(5);
        await sale.close(5);
        await sale.assertQuantity(5);
        await sale.assertStock({ onHand: 10, allocated: 5 });
    });

    it('takes off charges with the shipping, and reductions when nothing remains', async () => {
        const sale = await Sale.of(3);
        await shop.moveOrder(sale.order.id, 'Modifying');
        const surcharge = (description: string, price: number): string =>
            `{ description: "${description}", price: ${price}, priceIncludesTax: true }`;
        await shop.change(
            `modifyOrder(input: {
                orderId: "${sale.order.id}", dryRun: false, surcharges: [${surcharge('Gift wrap', 300)}, ${surcharge('Coupon', -300)}]
            }) { ... on Order { id } ... on ErrorResult { message } }`,
        );
        await shop.moveOrder(sale.order.id, 'PaymentSettled');
        await sale.close(1, { cancelShipping: true });
        assert.equal((await shop.readOrder(sale.order.id)).totalWithTax, 1000 - 300);
        await sale.close(0, { cancelShipping: true });
        await sale.close(0, { cancelShipping: true });
        const { state, totalWithTax } = await shop.readOrder(sale.order.id);
        assert.deepEqual({ state, totalWithTax }, { state: 'Cancelled', totalWithTax: 0 });
        assert.equal((await shop.readCancellations(sale.order.id)).length, 2);
    });

    it('adds no units to a line that has fewer', async () => {
        const sale = await Sale.of(3);
        await sale.close(1);
        await sale.close(2);
        await sale.assertQuantity(1);
        await sale.assertStock({ onHand: 10, allocated: 1 });
    });

    it('restocks only the unshipped rest of a line', async () => {
        const sale = await Sale.of(3);
        await shop.moveFulfillment(await shop.pack(sale.line, 2), 'Shipped');
        await sale.assertStock({ onHand: 8, allocated: 1 });
        await sale.close(2);
        await sale.assertQuantity(2);
        await sale.assertStock({ onHand: 8, allocated: 0 });
    });

    it('restocks no shipped units', async () => {
        const sale = await Sale.of(3);
        await shop.moveFulfillment(await shop.pack(sale.line, 2), 'Shipped');
        await sale.close(0);
        await sale.assertQuantity(0);
        await sale.assertStock({ onHand: 8, allocated: 0 });
    });

    it('of units that have left and are fetched later puts them on the shelf, and promises them to nobody', async () => {
        const sale = await Sale.of(4);
        const fulfillmentId = await shop.pack(sale.line, 2);
        await shop.moveFulfillment(fulfillmentId, 'Shipped');
        await sale.close(1);
        for (let times = 0; times < 2; times++) {
            await sale.close(1, { fulfillmentIds: [fulfillmentId] });
            await sale.assertQuantity(1);
            await sale.assertStock({ onHand: 10, allocated: 1 });
        }
    });

    it('restocks the units of a cancelled fulfillment once', async () => {
        const sale = await Sale.of(3);
        const fulfillmentId = await shop.pack(sale.line, 2);
        await sale.assertStock({ onHand: 8, allocated: 1 });
        await sale.close(1, { fulfillmentIds: [fulfillmentId] });
        await sale.close(1, { fulfillmentIds: [fulfillmentId] });
        await sale.assertQuantity(1);
        await sale.assertStock({ onHand: 10, allocated: 1 });
        assert.deepEqual(
            (await shop.readOrder(sale.order.id)).fulfillments.map(({ state }) => state),
            ['Cancelled'],
        );
    });

    it('keeps the units of a stopped parcel that are not cancelled', async () => {
        const sale = await Sale.of(3);
        const fulfillmentId = await shop.pack(sale.line, 3);
        await sale.close(2, { fulfillmentIds: [fulfillmentId] });
        await sale.assertQuantity(2);
        await sale.assertStock({ onHand: 10, allocated: 2 });
        await shop.pack(sale.line, 2);
    });

    it('restocks the units of a parcel that has come back', async () => {
        const sale = await Sale.of(3);
        const fulfillmentId = await shop.pack(sale.line, 2);
        await shop.moveFulfillment(fulfillmentId, 'Shipped');
        await sale.close(2);
        await sale.close(0, { fulfillmentIds: [fulfillmentId] });
        await sale.assertStock({ onHand: 10, allocated: 0 });
        assert.equal((await shop.readOrder(sale.order.id)).state, 'Cancelled');
    });

    it('is done as a whole or not at all', async () => {
        const sale = await Sale.of(3);
        const other = await Sale.of(1);
        const fulfillmentId = await shop.pack(sale.line, 2);
        await shop.hold(sale.order.id, 'can-1');
        await assert.rejects(
            shop.close(sale.order, {
                remaining: { [sale.line.id]: 0, [other.line.id]: 0 },
                fulfillmentIds: [fulfillmentId],
            }),
            new RegExp(`Order ${sale.order.code} has no line ${other.line.id}. Read the order again.`),
        );
        const order = await shop.readOrder(sale.order.id);
        assert.equal(order.customFields.heldByCancellation, 'can-1');
        assert.equal(order.fulfillments[0]!.state, 'Pending');
        await sale.assertQuantity(3);
        await sale.assertStock({ onHand: 8, allocated: 1 });
    });

    it('of a whole order is refused while the order is being modified', async () => {
        const sale = await Sale.of(1);
        await shop.moveOrder(sale.order.id, 'Modifying');
        await assert.rejects(
            sale.close(0),
            new RegExp(
                `^Error: Order ${sale.order.code} is Modifying and cannot be cancelled .+, then close it again\\.$`,
            ),
        );
        await sale.assertQuantity(1);
    });

    it('cancels no fulfillment that has goods of another order in it', async () => {
        const sale = await Sale.of(1);
        const other = await Sale.of(1);
        const fulfillmentId = await shop.packTogether([sale.line, other.line]);
        await assert.rejects(
            sale.close(0, { fulfillmentIds: [fulfillmentId] }),
            new RegExp(`Fulfillment ${fulfillmentId} also has goods of order ${other.order.code}`),
        );
        await sale.assertQuantity(1);
        assert.equal((await shop.readOrder(other.order.id)).fulfillments[0]!.state, 'Pending');
    });

    it('cancels fulfillments of its own order only', async () => {
        const sale = await Sale.of(1);
        const other = await Sale.of(1);
        const fulfillmentId = await shop.pack(other.line, 1);
        await assert.rejects(
            sale.close(0, { fulfillmentIds: [fulfillmentId] }),
            new RegExp(`Order ${sale.order.code} has no fulfillment ${fulfillmentId}. Read the order again.`),
        );
        await sale.assertQuantity(1);
    });
});
