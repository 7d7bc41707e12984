import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';

import type { INestApplication } from '@nestjs/common';
import {
    bootstrap,
    type FulfillmentHandler,
    LanguageCode,
    manualFulfillmentHandler,
    NoopLogger,
    type PaymentMethodHandler,
    type Permission,
    type RequestContext,
    RequestContextService,
    type Type,
} from '@vendure/core';
import { populateInitialData } from '@vendure/core/cli';

import { OrderCancellationPlugin } from '../src';
import { Client } from './client';

export interface Line {
    id: string;
    quantity: number;
    orderPlacedQuantity: number;
}

export interface Refund {
    state: string;
    total: number;
    transactionId: string | null;
    metadata: Record<string, unknown>;
}

export interface Payment {
    id: string;
    state: string;
    amount: number;
    transactionId: string;
    refunds: Refund[];
}

export interface Order {
    id: string;
    code: string;
    state: string;
    shippingWithTax: number;
    totalWithTax: number;
    customFields: { heldByCancellation: string | null };
    lines: Line[];
    payments: Payment[];
    fulfillments: {
        id: string;
        state: string;
        trackingCode: string;
        customFields: { carrier: string; labelReference: string };
    }[];
}

export interface Stock {
    stockOnHand: number;
    stockAllocated: number;
}

/** How an order is paid. */
export interface PaymentInput {
    method?: string;
    metadata: object;
}

/** Units that remain, by line; the rest as closeOrder takes it. */
export interface Closing {
    cancellationId?: string;
    remaining: Record<string, number>;
    fulfillmentIds?: string[];
    cancelShipping?: boolean;
}

export interface NotedRefund {
    paymentId: string;
    reference: string;
    amount: number;
}

interface Result {
    id?: string;
    message?: string;
}

// A PostgreSQL database to use in place of one in memory. What is in it is lost.
const { TEST_DATABASE_URL } = process.env;

/** A Vendure server with this plugin, on an empty database. */
export class Shop {
    readonly staff: Client;
    private readonly url: string;
    private products = 0;

    private constructor(private readonly app: INestApplication) {
        const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
        this.url = `http://127.0.0.1:${port}`;
        this.staff = new Client(`${this.url}/admin-api`);
    }

    static async start(
        paymentMethodHandlers: PaymentMethodHandler[] = [],
        fulfillmentHandlers: FulfillmentHandler[] = [],
    ): Promise<Shop> {
        const app = await bootstrap({
            apiOptions: { hostname: '127.0.0.1', port: 0 },
            authOptions: {
                tokenMethod: 'bearer',
                superadminCredentials: { identifier: 'superadmin', password: 'superadmin' },
            },
            dbConnectionOptions: TEST_DATABASE_URL
                ? { type: 'postgres', url: TEST_DATABASE_URL, synchronize: true, dropSchema: true }
                : { type: 'sqljs', synchronize: true },
            logger: new NoopLogger(),
            paymentOptions: { paymentMethodHandlers },
            shippingOptions: { fulfillmentHandlers: [manualFulfillmentHandler, ...fulfillmentHandlers] },
            plugins: [OrderCancellationPlugin],
        });
        await populateInitialData(app, {
            defaultLanguage: LanguageCode.en,
            defaultZone: 'Europe',
            countries: [{ code: 'DE', name: 'Germany', zone: 'Europe' }],
            taxRates: [{ name: 'None', percentage: 0 }],
            shippingMethods: [{ name: 'Parcel', price: 500 }],
            paymentMethods: [
                { name: 'card', handler: { code: 'recorded', arguments: [{ name: 'fromStorefront', value: 'true' }] } },
                { name: 'unsafe', handler: { code: 'recorded', arguments: [] } },
                ...paymentMethodHandlers.map(({ code }) => ({ name: code, handler: { code, arguments: [] } })),
            ],
            collections: [],
        });
        const shop = new Shop(app);
        await shop.staff.logIn('superadmin', 'superadmin');
        return shop;
    }

    async stop(): Promise<void> {
        await this.app.close();
    }

    /** A service of the server, as code of the merchant's own gets it. */
    get<Service extends object>(service: Type<Service>): Service {
        return this.app.get(service);
    }

    /** Of a job or a webhook: it has no transaction. */
    async createContext(): Promise<RequestContext> {
        return this.get(RequestContextService).create({ apiType: 'admin' });
    }

    anonymousStaff(): Client {
        return new Client(`${this.url}/admin-api`);
    }

    /** Somebody of the staff with these permissions. */
    async addStaff(name: string, permissions: Permission[]): Promise<Client> {
        const { createRole } = await this.staff.send<{ createRole: { id: string } }>(
            'mutation($input: CreateRoleInput!) { createRole(input: $input) { id } }',
            { input: { code: name, description: name, permissions } },
        );
        await this.staff.send(
            'mutation($input: CreateAdministratorInput!) { createAdministrator(input: $input) { id } }',
            {
                input: {
                    firstName: name,
                    lastName: name,
                    emailAddress: `${name}@shop.example`,
                    password: name,
                    roleIds: [createRole.id],
                },
            },
        );
        const client = this.anonymousStaff();
        await client.logIn(`${name}@shop.example`, name);
        return client;
    }

    /** A new product of which there are ten; the id of its variant. */
    async addProduct(): Promise<string> {
        this.products += 1;
        const text = { languageCode: 'en', name: `Product ${this.products}` };
        const { createProduct } = await this.staff.send<{ createProduct: { id: string } }>(
            'mutation($input: CreateProductInput!) { createProduct(input: $input) { id } }',
            { input: { translations: [{ ...text, slug: `product-${this.products}`, description: '' }] } },
        );
        const { createProductVariants } = await this.staff.send<{ createProductVariants: { id: string }[] }>(
            'mutation($input: [CreateProductVariantInput!]!) { createProductVariants(input: $input) { id } }',
            {
                input: [
                    {
                        productId: createProduct.id,
                        sku: `P${this.products}`,
                        price: 1000,
                        stockOnHand: 10,
                        trackInventory: 'TRUE',
                        translations: [text],
                    },
                ],
            },
        );
        return createProductVariants[0]!.id;
    }

    async readStock(variantId: string): Promise<Stock> {
        const { productVariant } = await this.staff.send<{ productVariant: { stockLevels: Stock[] } }>(
            'query($id: ID!) { productVariant(id: $id) { stockLevels { stockOnHand stockAllocated } } }',
            { id: variantId },
        );
        return productVariant.stockLevels[0]!;
    }

    /** The order that a customer places through the Shop API. `payments` pay it one after the other. */
    async placeOrder(units: Record<string, number>, ...payments: PaymentInput[]): Promise<Order> {
        const customer = new Client(`${this.url}/shop-api`);
        for (const [productVariantId, quantity] of Object.entries(units)) {
            await customer.send(
                'mutation($id: ID!, $n: Int!) { addItemToOrder(productVariantId: $id, quantity: $n) { __typename } }',
                {
                    id: productVariantId,
                    n: quantity,
                },
            );
        }
        await customer.send(`mutation {
            setCustomerForOrder(input: { emailAddress: "ada@customers.example", firstName: "Ada", lastName: "L" }) { __typename }
            setOrderShippingAddress(input: { streetLine1: "Street 1", countryCode: "DE" }) { __typename }
            setOrderShippingMethod(shippingMethodId: ["1"]) { __typename }
            transitionOrderToState(state: "ArrangingPayment") { __typename }
        }`);
        const { activeOrder } = await customer.send<{ activeOrder: { id: string } }>('{ activeOrder { id } }');
        for (const payment of payments.length > 0 ? payments : [{ metadata: { reference: 'pi_1' } }]) {
            const { addPaymentToOrder } = await customer.send<{ addPaymentToOrder: Result & { __typename: string; reason?: string } }>(
                `mutation($input: PaymentInput!) {
                    addPaymentToOrder(input: $input) {
                        __typename
                        ... on ErrorResult { message }
                        ... on PaymentFailedError { reason: paymentErrorMessage }
                    }
                }`,
                { input: { method: 'card', ...payment } },
            );
            if (addPaymentToOrder.__typename !== 'Order') {
                throw new Error(addPaymentToOrder.reason ?? addPaymentToOrder.message);
            }
        }
        return this.readOrder(activeOrder.id);
    }

    async readOrder(id: string): Promise<Order> {
        const { order } = await this.staff.send<{ order: Order }>(
            `query($id: ID!) {
                order(id: $id) {
                    id code state shippingWithTax totalWithTax customFields { heldByCancellation }
                    lines { id quantity orderPlacedQuantity }
                    payments { id state amount transactionId refunds { state total transactionId metadata } }
                    fulfillments { id state trackingCode customFields { carrier labelReference } }
                }
            }`,
            { id },
        );
        // In which order the payments come is the database's choice.
        order.payments.sort((first, second) => Number(first.id) - Number(second.id));
        return order;
    }

    /** The entries about cancelled units in the order's history. */
    async readCancellations(id: string): Promise<string[]> {
        const { order } = await this.staff.send<{ order: { history: { items: { type: string }[] } } }>(
            'query($id: ID!) { order(id: $id) { history { items { type } } } }',
            { id },
        );
        return order.history.items.map(({ type }) => type).filter(type => type === 'ORDER_CANCELLATION');
    }

    /** One of Vendure's own mutations, by staff or by a request of `cancellation`. A refusal is thrown, as its sentence. */
    async change(mutation: string, cancellation?: string): Promise<string> {
        const headers: Record<string, string> = cancellation === undefined ? {} : { 'cancellation-id': cancellation };
        const answer = await this.staff.send<{ result: Result }>(`mutation { result: ${mutation} }`, {}, headers);
        const { id, message } = answer.result;
        if (id === undefined) {
            throw new Error(message);
        }
        return id;
    }

    /** The id of the new fulfillment. */
    async pack(line: Line, quantity: number, cancellation?: string, handler = 'manual-fulfillment'): Promise<string> {
        return this.packUnits([{ line, quantity }], cancellation, handler);
    }

    /** One unit of each line in the same fulfillment. */
    async packTogether(lines: Line[]): Promise<string> {
        return this.packUnits(lines.map(line => ({ line, quantity: 1 })));
    }

    private async packUnits(
        units: { line: Line; quantity: number }[],
        cancellation?: string,
        handler = 'manual-fulfillment',
    ): Promise<string> {
        const lines = units.map(({ line, quantity }) => `{ orderLineId: "${line.id}", quantity: ${quantity} }`).join();
        return this.change(
            `addFulfillmentToOrder(input: {
                lines: [${lines}]
                handler: { code: "${handler}", arguments: [{ name: "method", value: "DHL" }] }
            }) {
                ... on Fulfillment { id }
                ... on ErrorResult { message }
            }`,
            cancellation,
        );
    }

    async moveFulfillment(id: string, state: string, cancellation?: string): Promise<string> {
        return this.change(
            `transitionFulfillmentToState(id: "${id}", state: "${state}") {
                ... on Fulfillment { id }
                ... on ErrorResult { message }
            }`,
            cancellation,
        );
    }

    async moveOrder(id: string, state: string, cancellation?: string): Promise<string> {
        return this.change(
            `transitionOrderToState(id: "${id}", state: "${state}") {
                ... on Order { id }
                ... on ErrorResult { message }
            }`,
            cancellation,
        );
    }

    async settlePayment(id: string, cancellation?: string): Promise<string> {
        return this.change(
            `settlePayment(id: "${id}") { ... on Payment { id } ... on ErrorResult { message } }`,
            cancellation,
        );
    }

    /** Vendure's own cancellation of units, or of the whole order. */
    async cancelUnits(order: Order, line?: Line, quantity = 0, cancellation?: string): Promise<string> {
        const lines = line ? `, lines: [{ orderLineId: "${line.id}", quantity: ${quantity} }]` : '';
        return this.change(
            `cancelOrder(input: { orderId: "${order.id}"${lines} }) { ... on Order { id } ... on ErrorResult { message } }`,
            cancellation,
        );
    }

    async hold(orderId: string, cancellationId: string): Promise<string> {
        const { holdOrder } = await this.staff.send<{ holdOrder: string }>(
            'mutation($orderId: ID!, $cancellationId: String!) { holdOrder(orderId: $orderId, cancellationId: $cancellationId) }',
            { orderId, cancellationId },
        );
        return holdOrder;
    }

    async release(orderId: string, cancellationId: string): Promise<boolean> {
        const { releaseOrder } = await this.staff.send<{ releaseOrder: { success: boolean } }>(
            'mutation($orderId: ID!, $cancellationId: String!) { releaseOrder(orderId: $orderId, cancellationId: $cancellationId) { success } }',
            { orderId, cancellationId },
        );
        return releaseOrder.success;
    }

    async close(order: Order, closing: Closing): Promise<void> {
        await this.staff.send('mutation($input: CloseOrderInput!) { closeOrder(input: $input) { id } }', {
            input: {
                orderId: order.id,
                cancellationId: closing.cancellationId ?? 'can-1',
                lines: Object.entries(closing.remaining).map(([orderLineId, remaining]) => ({
                    orderLineId,
                    remaining,
                })),
                fulfillmentIds: closing.fulfillmentIds ?? [],
                cancelShipping: closing.cancelShipping ?? false,
            },
        });
    }

    async noteRefunds(orderId: string, cancellationId: string, refunds: NotedRefund[]): Promise<void> {
        await this.staff.send(
            `mutation($orderId: ID!, $cancellationId: String!, $refunds: [NotedRefundInput!]!) {
                noteRefunds(orderId: $orderId, cancellationId: $cancellationId, refunds: $refunds) { id }
            }`,
            { orderId, cancellationId, refunds },
        );
    }
}
