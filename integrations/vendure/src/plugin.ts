import { PluginCommonModule, VendurePlugin } from '@vendure/core';

import { OrderCancellationResolver, schema } from './api';
import { OrderClosing } from './closing';
import { customFields } from './custom-fields';
import { HoldGuard, guardedFulfillments, guardedOrders, guardedPayments } from './hold-guard';
import { OrderHolds } from './holds';
import { OrderLock } from './order-lock';
import { recordedPayment } from './recorded-payment';
import { OrderRecords } from './records';
import { StaleReads } from './stale-reads';

/** Lets an order cancellation hold an order, close it, and note in it what happened elsewhere. */
@VendurePlugin({
    imports: [PluginCommonModule],
    compatibility: '^3.7.0',
    providers: [HoldGuard, OrderClosing, OrderHolds, OrderLock, OrderRecords, StaleReads],
    adminApiExtensions: { schema, resolvers: [OrderCancellationResolver] },
    configuration: config => {
        for (const entity of ['Order', 'Fulfillment', 'ProductVariant'] as const) {
            config.customFields[entity] = [...(config.customFields[entity] ?? []), ...(customFields[entity] ?? [])];
        }
        // Before the other processes: a refused change must not have begun.
        config.orderOptions.process = [guardedOrders, ...(config.orderOptions.process ?? [])];
        config.shippingOptions.process = [guardedFulfillments, ...(config.shippingOptions.process ?? [])];
        config.paymentOptions.process = [guardedPayments, ...(config.paymentOptions.process ?? [])];
        config.paymentOptions.paymentMethodHandlers = [...config.paymentOptions.paymentMethodHandlers, recordedPayment];
        return config;
    },
})
export class OrderCancellationPlugin {}
