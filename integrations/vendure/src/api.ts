import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import {
    Allow,
    assertFound,
    Ctx,
    type Fulfillment,
    type ID,
    type Order,
    OrderService,
    Permission,
    RequestContext,
} from '@vendure/core';
import { parse } from 'graphql';

import { type CloseOrderInput, OrderClosing } from './closing';
import { type OrderHold, OrderHolds } from './holds';
import { type NotedRefundInput, OrderRecords, type RecordLabelInput } from './records';
import { VERSION } from './version';

export const schema = parse(`
    type OrderCancellationPlugin {
        version: String!
    }

    enum OrderHold {
        HELD
        HELD_BY_ANOTHER
        "This cancellation has released or closed the order before and cannot hold it any more."
        LET_GO
    }

    input CancelledLineInput {
        orderLineId: ID!
        "Units that have left the line in the end: orderPlacedQuantity less quantity."
        cancelled: Int!
    }

    input NotedRefundInput {
        paymentId: ID!
        "The id of the refund at the gateway."
        reference: String!
        amount: Money!
    }

    input CloseOrderInput {
        orderId: ID!
        cancellationId: String!
        lines: [CancelledLineInput!]!
        "Fulfillments that do not go to the customer. They are cancelled before the lines."
        fulfillmentIds: [ID!]!
        cancelShipping: Boolean!
    }

    extend type Query {
        orderCancellationPlugin: OrderCancellationPlugin!
    }

    extend type Mutation {
        "From now on the order is neither packed, shipped, captured nor changed, but by requests of this cancellation."
        holdOrder(orderId: ID!, cancellationId: String!): OrderHold!
        "Let the order go on. This cancellation cannot hold it again."
        releaseOrder(orderId: ID!, cancellationId: String!): Success!
        "Cancel fulfillments, bring lines to their targets and let the order go on, in one transaction."
        closeOrder(input: CloseOrderInput!): Order!
        "Record all that this cancellation gives back. It moves no money."
        noteRefunds(orderId: ID!, cancellationId: String!, refunds: [NotedRefundInput!]!): Order!
        "The order is paid by another payment at the gateway from now on."
        replacePayment(paymentId: ID!, reference: String!): Success!
        recordLabel(fulfillmentId: ID!, carrier: String!, labelReference: String!, trackingCode: String!): Fulfillment!
    }
`);

interface HoldArgs {
    orderId: ID;
    cancellationId: string;
}

interface Success {
    success: true;
}

@Resolver()
export class OrderCancellationResolver {
    constructor(
        private readonly holds: OrderHolds,
        private readonly closing: OrderClosing,
        private readonly records: OrderRecords,
        private readonly orders: OrderService,
    ) {}

    @Query()
    @Allow(Permission.ReadOrder)
    orderCancellationPlugin(): { version: string } {
        return { version: VERSION };
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async holdOrder(@Ctx() ctx: RequestContext, @Args() { orderId, cancellationId }: HoldArgs): Promise<OrderHold> {
        return this.holds.hold(ctx, orderId, cancellationId);
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async releaseOrder(@Ctx() ctx: RequestContext, @Args() { orderId, cancellationId }: HoldArgs): Promise<Success> {
        await this.holds.release(ctx, orderId, cancellationId);
        return { success: true };
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async closeOrder(@Ctx() ctx: RequestContext, @Args() { input }: { input: CloseOrderInput }): Promise<Order> {
        await this.closing.close(ctx, input);
        return assertFound(this.orders.findOne(ctx, input.orderId));
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async noteRefunds(
        @Ctx() ctx: RequestContext,
        @Args() { orderId, cancellationId, refunds }: HoldArgs & { refunds: NotedRefundInput[] },
    ): Promise<Order> {
        await this.records.noteRefunds(ctx, orderId, cancellationId, refunds);
        return assertFound(this.orders.findOne(ctx, orderId));
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async replacePayment(
        @Ctx() ctx: RequestContext,
        @Args() { paymentId, reference }: { paymentId: ID; reference: string },
    ): Promise<Success> {
        await this.records.replacePayment(ctx, paymentId, reference);
        return { success: true };
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async recordLabel(@Ctx() ctx: RequestContext, @Args() input: RecordLabelInput): Promise<Fulfillment> {
        return this.records.recordLabel(ctx, input);
    }
}
