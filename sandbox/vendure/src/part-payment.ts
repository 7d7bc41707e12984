import { PaymentMethodHandler } from '@vendure/core';

/** The same handler, which takes the amount that the metadata say, so that several payments can pay an order. */
export function takeParts(handler: PaymentMethodHandler): PaymentMethodHandler {
    const createPayment: PaymentMethodHandler['createPayment'] = (ctx, order, amount, args, metadata, method) =>
        handler.createPayment(
            ctx,
            order,
            typeof metadata.amount === 'number' ? metadata.amount : amount,
            args,
            metadata,
            method,
        );
    return Object.assign(Object.create(handler) as PaymentMethodHandler, { createPayment });
}
