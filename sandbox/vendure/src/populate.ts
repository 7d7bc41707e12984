import { type INestApplicationContext } from '@nestjs/common';
import { type ConfigurableOperationInput } from '@vendure/common/lib/generated-types';
import {
    ChannelService,
    CurrencyCode,
    type InitialData,
    LanguageCode,
    minimumOrderAmount,
    Populator,
    PromotionService,
    RequestContextService,
} from '@vendure/core';
import { lineDiscount } from './sandbox-plugin';

const COUNTRIES = [
    ['DE', 'Germany', 'Europe'],
    ['AT', 'Austria', 'Europe'],
    ['FR', 'France', 'Europe'],
    ['NL', 'Netherlands', 'Europe'],
    ['GB', 'United Kingdom', 'United Kingdom'],
    ['CH', 'Switzerland', 'Rest of the world'],
    ['US', 'United States of America', 'Rest of the world'],
    ['JP', 'Japan', 'Rest of the world'],
] as const;

const TAXES = [19, 20, 7, 0];
const PAYMENT_METHODS = ['card', 'gift-card', 'store-credit'];
const CURRENCIES = [CurrencyCode.EUR, CurrencyCode.USD, CurrencyCode.GBP, CurrencyCode.JPY];

/** What a new shop has before its first product. */
export async function populate(app: INestApplicationContext, payment: ConfigurableOperationInput): Promise<void> {
    const data: InitialData = {
        defaultLanguage: LanguageCode.en,
        defaultZone: 'Europe',
        countries: COUNTRIES.map(([code, name, zone]) => ({ code, name, zone })),
        taxRates: TAXES.map(percentage => ({ name: `${percentage} %`, percentage })),
        shippingMethods: [{ name: 'Standard', price: 490, taxRate: 19 }],
        paymentMethods: PAYMENT_METHODS.map(name => ({ name, handler: payment })),
        collections: [],
    };
    const channels = app.get(ChannelService);
    const ctx = await app.get(RequestContextService).create({ apiType: 'admin' });
    await channels.update(ctx, {
        id: ctx.channelId,
        pricesIncludeTax: true,
        defaultCurrencyCode: CurrencyCode.EUR,
        availableCurrencyCodes: CURRENCIES,
    });
    await app.get(Populator).populateInitialData(data);
    const populated = await app.get(RequestContextService).create({ apiType: 'admin' });
    await app.get(PromotionService).createPromotion(populated, {
        enabled: true,
        translations: [{ languageCode: LanguageCode.en, name: 'Line discounts' }],
        conditions: [
            {
                code: minimumOrderAmount.code,
                arguments: [
                    { name: 'amount', value: '0' },
                    { name: 'taxInclusive', value: 'true' },
                ],
            },
        ],
        actions: [{ code: lineDiscount.code, arguments: [] }],
    });
}
