import { randomUUID } from 'node:crypto';
import { LanguageCode, PaymentMethodHandler } from '@vendure/core';

/**
 * Payments of a shop without the plugin, recorded as Vendure's own Stripe handler does: a refund settles at once. Metadata:
 * the gateway's `reference`; `capturable` when it is not captured yet; `amount` when it pays a part of the order.
 */
export const plainPayment = new PaymentMethodHandler({
    code: 'plain',
    description: [{ languageCode: LanguageCode.en, value: 'A payment at a gateway' }],
    args: {},
    createPayment: (_ctx, _order, amount, _args, metadata) => ({
        amount: typeof metadata.amount === 'number' ? metadata.amount : amount,
        state: metadata.capturable === true ? ('Authorized' as const) : ('Settled' as const),
        transactionId: String(metadata.reference),
    }),
    settlePayment: () => ({ success: true }),
    createRefund: () => ({ state: 'Settled' as const, transactionId: `re_${randomUUID()}` }),
});
