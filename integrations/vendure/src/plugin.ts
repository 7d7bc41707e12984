import { PluginCommonModule, VendurePlugin } from '@vendure/core';

import { OrderCancellationResolver, schema } from './api';
import { OrderClosing } from './closing';
import { customFields } from './custom-fields';
import { Freeze, fulfillmentFreeze, orderFreeze, paymentFreeze } from './freeze';
import { OrderHolds } from './holds';
import { OrderLock } from './order-lock';
import { recordedPayment } from './recorded-payment';
import { OrderRecords } from './records';

/** Lets an order cancellation hold an order, close it, and note in it what happened elsewhere. */
@VendurePlugin({
    imports: [PluginCommonModule],
    compatibility: '^3.7.0',
    providers: [Freeze, OrderClosing, OrderHolds, OrderLock, OrderRecords],
    adminApiExtensions: { schema, resolvers: [OrderCancellationResolver] },
    configuration: config => {
        for (const entity of ['Order', 'Fulfillment', 'ProductVariant'] as const) {
            config.customFields[entity] = [...(config.customFields[entity] ?? []), ...(customFields[entity] ?? [])];
        }
        // Before the other processes: a refused change must not have begun.
        config.orderOptions.process = [orderFreeze, ...(config.orderOptions.process ?? [])];
        config.shippingOptions.process = [fulfillmentFreeze, ...(config.shippingOptions.process ?? [])];
        config.paymentOptions.process = [paymentFreeze, ...(config.paymentOptions.process ?? [])];
        config.paymentOptions.paymentMethodHandlers = [...config.paymentOptions.paymentMethodHandlers, recordedPayment];
        return config;
    },
})
export class OrderCancellationPlugin {}
