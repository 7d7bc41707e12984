import { type CreatePaymentResult, LanguageCode, type PaymentMetadata, PaymentMethodHandler } from '@vendure/core';

/**
 * Records payments that were made at the payment gateway. It has no key of the gateway and never moves money: what goes
 * back to a customer is refunded by a cancellation, which notes it with `noteRefunds`.
 *
 * Metadata: `reference`, the id of the payment at the gateway; `capturable`, true when it is authorised and not captured
 * yet; `amount`, when it pays only a part of the order, in Vendure's units like every amount of its API (2500 is 25.00).
 */
export const recordedPayment = new PaymentMethodHandler({
    code: 'recorded',
    description: [{ languageCode: LanguageCode.en, value: 'Record payments made at the gateway' }],
    args: {
        fromStorefront: {
            type: 'boolean',
            required: false,
            defaultValue: false,
            label: [{ languageCode: LanguageCode.en, value: 'Accept payments from the Shop API' }],
            description: [
                {
                    languageCode: LanguageCode.en,
                    value:
                        'Whoever reaches the Shop API can then name any payment as their own. Accept them only where your ' +
                        'own server alone reaches it.',
                },
            ],
        },
    },
    createPayment: (ctx, _order, amount, args, metadata) => {
        if (ctx.apiType !== 'admin' && !args.fromStorefront) {
            return {
                amount,
                state: 'Error',
                errorMessage:
                    'This payment method takes no payments from the storefront. Add the payment on the server, once the ' +
                    'gateway has confirmed it.',
                metadata: {},
            };
        }
        const recorded = readRecordedPayment(metadata, amount);
        return typeof recorded === 'string'
            ? { amount, state: 'Error', errorMessage: recorded, metadata: {} }
            : { ...recorded, metadata: {} };
    },
    settlePayment: () => ({ success: true }),
    createRefund: () => ({
        state: 'Failed',
        metadata: {
            errorMessage:
                'Vendure only records the payments of this method. Ask for a cancellation of the order: it makes the refund ' +
                'at the gateway and notes it here.',
        },
    }),
});

/** What `metadata` says of the payment, or the sentence that says what is wrong with them. */
function readRecordedPayment(metadata: PaymentMetadata, outstanding: number): CreatePaymentResult | string {
    const { reference, capturable = false, amount = outstanding }: Record<string, unknown> = metadata;
    if (typeof reference !== 'string' || reference === '') {
        return 'The metadata of a recorded payment need a reference, the id of the payment at the gateway.';
    }
    if (typeof capturable !== 'boolean') {
        return 'In the metadata of a recorded payment, capturable is true or false.';
    }
    if (typeof amount !== 'number' || !Number.isSafeInteger(amount) || amount <= 0 || amount > outstanding) {
        return `In the metadata of a recorded payment, amount is what it pays of the order, at most ${outstanding}.`;
    }
    return { amount, state: capturable ? 'Authorized' : 'Settled', transactionId: reference };
}
