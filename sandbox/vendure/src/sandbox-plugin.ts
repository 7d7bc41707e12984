import { Args, Mutation, Resolver } from '@nestjs/graphql';
import {
    Allow,
    ConfigService,
    Ctx,
    ID,
    LanguageCode,
    Order,
    OrderService,
    Permission,
    PluginCommonModule,
    PromotionLineAction,
    RequestContext,
    Session,
    Transaction,
    TransactionalConnection,
    VendurePlugin,
} from '@vendure/core';
import { gql } from 'graphql-tag';

interface Discounted {
    discount?: number | null;
}

/** Takes off a line the amount in its custom field, so that a line can have any total. */
export const lineDiscount = new PromotionLineAction({
    code: 'line_discount',
    description: [{ languageCode: LanguageCode.en, value: 'Take off each line what its field says' }],
    args: {},
    execute: (_ctx, line) => -((line.customFields as Discounted).discount ?? 0),
});

@Resolver()
class SandboxResolver {
    constructor(
        private readonly config: ConfigService,
        private readonly connection: TransactionalConnection,
        private readonly orders: OrderService,
    ) {}

    @Mutation()
    @Transaction()
    @Allow(Permission.SuperAdmin)
    async setOrderPlacedAt(@Ctx() ctx: RequestContext, @Args() args: { orderId: ID; at: Date }) {
        await this.connection.getRepository(ctx, Order).update(args.orderId, { orderPlacedAt: args.at });
        return { success: true };
    }

    @Mutation()
    @Transaction()
    @Allow(Permission.SuperAdmin)
    async addSurcharge(
        @Ctx() ctx: RequestContext,
        @Args() args: { orderId: ID; description: string; amountWithTax: number },
    ) {
        await this.orders.addSurchargeToOrder(ctx, args.orderId, {
            description: args.description,
            listPrice: args.amountWithTax,
            listPriceIncludesTax: true,
            taxLines: [],
        });
        return { success: true };
    }

    @Mutation()
    @Transaction()
    @Allow(Permission.SuperAdmin)
    async endSessions(@Ctx() ctx: RequestContext) {
        await this.connection.getRepository(ctx, Session).createQueryBuilder().delete().execute();
        await this.config.authOptions.sessionCacheStrategy.clear();
        return { success: true };
    }
}

/** What the sandbox needs and no shop offers. */
@VendurePlugin({
    imports: [PluginCommonModule],
    compatibility: '^3.7.0',
    adminApiExtensions: {
        schema: gql`
            extend type Mutation {
                "Says when an order was placed."
                setOrderPlacedAt(orderId: ID!, at: DateTime!): Success!
                "Adds a surcharge to an order that is not placed yet; below zero: a discount on the order."
                addSurcharge(orderId: ID!, description: String!, amountWithTax: Money!): Success!
                "Ends the session of everybody who is logged in."
                endSessions: Success!
            }
        `,
        resolvers: [SandboxResolver],
    },
    configuration: config => {
        config.customFields.OrderLine.push(
            { name: 'engraving', type: 'string', nullable: true },
            { name: 'discount', type: 'int', nullable: true },
        );
        config.promotionOptions.promotionActions = [...(config.promotionOptions.promotionActions ?? []), lineDiscount];
        return config;
    },
})
export class SandboxPlugin {}
