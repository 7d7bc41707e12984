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
    UserInputError,
} from '@vendure/core';
import { parse } from 'graphql';

import { type CloseOrderInput, OrderClosing } from './closing';
import { type HoldAnswer, OrderHolds } from './holds';
import { type NotedRefundInput, OrderRecords, type RecordLabelInput } from './records';
import { VERSION } from './version';

export const schema = parse(`
    type OrderCancellationPlugin {
        "The version of this plugin. The first number changes when the mutations do."
        version: String!
    }

    enum HoldAnswer {
        "This cancellation holds the order, from now on or since an earlier call."
        HELD
        "Another cancellation holds the order; this one has changed nothing."
        HELD_BY_ANOTHER
        "This cancellation has released or closed the order before and cannot hold it any more."
        RELEASED
    }

    input LineTargetInput {
        orderLineId: ID!
        "Units that remain in the line. A line that has no more than that stays as it is."
        remaining: Int!
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
        lines: [LineTargetInput!]!
        "Fulfillments that do not go to the customer. They are cancelled before the lines."
        fulfillmentIds: [ID!]!
        "Whether the shipping charge is taken off the order's total. It is taken off once."
        cancelShipping: Boolean!
    }

    extend type Query {
        "Which version of this plugin the shop has."
        orderCancellationPlugin: OrderCancellationPlugin!
    }

    extend type Mutation {
        "From now on the order is neither packed, shipped, captured nor changed, but by requests of this cancellation."
        holdOrder(orderId: ID!, cancellationId: String!): HoldAnswer!
        "End the hold of this cancellation, which cannot hold the order again. Holds of others stay; success says whether nobody holds the order now."
        releaseOrder(orderId: ID!, cancellationId: String!): Success!
        "Cancel fulfillments, reduce lines to their targets and release the order, in one transaction. Repeated, it changes nothing."
        closeOrder(input: CloseOrderInput!): Order!
        "Record all that this cancellation gives back. It moves no money."
        noteRefunds(orderId: ID!, cancellationId: String!, refunds: [NotedRefundInput!]!): Order!
        "The order is paid by another payment at the gateway from now on."
        replacePayment(paymentId: ID!, reference: String!): Success!
        "Write the label that a parcel has got on its fulfillment."
        recordLabel(fulfillmentId: ID!, carrier: String!, labelReference: String!, trackingCode: String!): Fulfillment!
    }
`);

interface HoldArgs {
    orderId: ID;
    cancellationId: string;
}

interface Success {
    success: boolean;
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
    async holdOrder(@Ctx() ctx: RequestContext, @Args() { orderId, cancellationId }: HoldArgs): Promise<HoldAnswer> {
        refuseEmptyCancellationId(cancellationId);
        return this.holds.hold(ctx, orderId, cancellationId);
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async releaseOrder(@Ctx() ctx: RequestContext, @Args() { orderId, cancellationId }: HoldArgs): Promise<Success> {
        refuseEmptyCancellationId(cancellationId);
        return { success: await this.holds.release(ctx, orderId, cancellationId) };
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async closeOrder(@Ctx() ctx: RequestContext, @Args() { input }: { input: CloseOrderInput }): Promise<Order> {
        refuseEmptyCancellationId(input.cancellationId);
        await this.closing.close(ctx, input);
        return assertFound(this.orders.findOne(ctx, input.orderId));
    }

    @Mutation()
    @Allow(Permission.UpdateOrder)
    async noteRefunds(
        @Ctx() ctx: RequestContext,
        @Args() { orderId, cancellationId, refunds }: HoldArgs & { refunds: NotedRefundInput[] },
    ): Promise<Order> {
        refuseEmptyCancellationId(cancellationId);
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

/** An empty `heldByCancellation` means that nobody holds the order. */
function refuseEmptyCancellationId(cancellationId: string): void {
    if (cancellationId.trim() === '') {
        throw new UserInputError('No cancellation is named. Give its id as cancellationId.');
    }
}
