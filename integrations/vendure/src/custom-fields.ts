import { type CustomFields, LanguageCode } from '@vendure/core';

interface EnglishText {
    languageCode: LanguageCode.en;
    value: string;
}

function english(value: string): EnglishText[] {
    return [{ languageCode: LanguageCode.en, value }];
}

/** What a cancellation has to know of an order, and for which Vendure has no place. */
export const customFields: CustomFields = {
    Order: [
        {
            name: 'heldByCancellation',
            type: 'string',
            nullable: true,
            public: false,
            readonly: true,
            label: english('Held by cancellation'),
            description: english('While this is set, the order is neither packed, shipped, captured nor changed.'),
        },
        // Read by this plugin alone: a hold that arrives after its cancellation is over must not hold the order.
        { name: 'releasedCancellations', type: 'string', list: true, nullable: true, internal: true },
        {
            name: 'fraudReview',
            type: 'boolean',
            defaultValue: false,
            public: false,
            label: english('In fraud review'),
            description: english('While an order is in fraud review, a person decides about its cancellation.'),
        },
        {
            name: 'euConsumer',
            type: 'boolean',
            defaultValue: false,
            public: false,
            label: english('Consumer in the European Union'),
            description: english('The statutory right of withdrawal counts for this order.'),
        },
    ],
    Fulfillment: [
        {
            name: 'carrier',
            type: 'string',
            nullable: true,
            label: english('Carrier'),
            description: english('For example UPS.'),
        },
        {
            name: 'labelReference',
            type: 'string',
            nullable: true,
            public: false,
            label: english('Label'),
            description: english('The id of the label where it was bought. It is needed to void the label.'),
        },
    ],
    ProductVariant: [
        {
            name: 'saleCondition',
            type: 'string',
            nullable: false,
            defaultValue: 'regular',
            options: [
                { value: 'regular', label: english('Regular') },
                { value: 'final_sale', label: english('Final sale') },
                { value: 'customised', label: english('Made for the customer') },
            ],
            label: english('Condition of sale'),
            description: english('The policy of cancellations says what each condition means.'),
        },
    ],
};

declare module '@vendure/core' {
    interface CustomOrderFields {
        heldByCancellation: string | null;
        releasedCancellations: string[] | null;
        fraudReview: boolean;
        euConsumer: boolean;
    }
    interface CustomFulfillmentFields {
        carrier: string | null;
        labelReference: string | null;
    }
    interface CustomProductVariantFields {
        saleCondition: 'regular' | 'final_sale' | 'customised';
    }
}
