import type { OnApplicationBootstrap } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import {
    ConfigService,
    EventBus,
    type FulfillmentHandler,
    type FulfillmentProcess,
    type FulfillmentState,
    HistoryEntryEvent,
    Order,
    OrderLineEvent,
    type OrderProcess,
    type OrderState,
    type PaymentMethodHandler,
    type PaymentProcess,
    type PaymentState,
} from '@vendure/core';
import { HistoryEntryType } from '@vendure/common/lib/generated-types';

import { OrderHolds } from './holds';

let holds: OrderHolds;

const init: NonNullable<FulfillmentProcess<FulfillmentState>['init']> = injector => {
    holds = injector.get(OrderHolds);
};

/** Parcels of a held order are neither shipped nor cancelled. Deliveries are still recorded. */
export const guardedFulfillments: FulfillmentProcess<FulfillmentState> = {
    init,
    onTransitionStart: async (fromState, toState, { ctx, orders }) => {
        if (fromState === 'Shipped' && toState === 'Delivered') {
            return undefined;
        }
        for (const order of orders) {
            const refusal = await holds.describeRefusal(ctx, order.id, 'its parcels must not be shipped or changed');
            if (refusal) {
                return refusal;
            }
        }
        return undefined;
    },
};

/** A held order is neither modified nor cancelled. It still becomes shipped or delivered as its parcels do. */
export const guardedOrders: OrderProcess<OrderState> = {
    init,
    onTransitionStart: (fromState, toState, { ctx, order }) => {
        const changes = ['Modifying', 'ArrangingAdditionalPayment', 'Cancelled'];
        return changes.includes(fromState) || changes.includes(toState)
            ? holds.describeRefusal(ctx, order.id, 'must not be changed')
            : undefined;
    },
};

/** Payments that staff add by hand reach no handler, so they are refused here. */
export const guardedPayments: PaymentProcess<PaymentState> = {
    init,
    onTransitionStart: (fromState, _toState, { ctx, order }) =>
        fromState === 'Created' ? holds.describeRefusal(ctx, order.id, 'takes no payment') : undefined,
};

const originals = new WeakMap<object, object>();

/**
 * Refuses what the processes above learn too late or not at all: a payment handler has captured the money, and a
 * fulfillment handler has bought the label, before their process is asked; and lines leave an order without one.
 */
@Injectable()
export class HoldGuard implements OnApplicationBootstrap {
    constructor(
        private readonly config: ConfigService,
        private readonly events: EventBus,
        private readonly holds: OrderHolds,
    ) {}

    onApplicationBootstrap(): void {
        // Here and not in the plugin's configuration, so that handlers which other plugins add are guarded as well.
        replaceEach(this.config.paymentOptions.paymentMethodHandlers, handler => this.guardPayments(handler));
        replaceEach(this.config.shippingOptions.fulfillmentHandlers, handler => this.guardFulfillments(handler));
        this.events.registerBlockingEventHandler({
            id: 'order-cancellation-lines',
            event: OrderLineEvent,
            handler: async ({ ctx, order }) => {
                if (!order.active) {
                    await this.holds.refuseIfHeld(ctx, order.id, 'its lines must not be changed');
                }
            },
        });
        this.events.registerBlockingEventHandler({
            id: 'order-cancellation-modifications',
            event: HistoryEntryEvent,
            handler: async ({ ctx, entity, input }) => {
                if (typeof input === 'object' && input.type === HistoryEntryType.ORDER_MODIFIED && 'order' in entity) {
                    await this.holds.refuseIfHeld(ctx, (entity.order as Order).id, 'must not be changed');
                }
            },
        });
    }

    private guardPayments(handler: PaymentMethodHandler): PaymentMethodHandler {
        const guarded = Object.create(handler) as PaymentMethodHandler;
        guarded.createPayment = async (ctx, order, ...rest) => {
            await this.holds.refuseIfHeld(ctx, order.id, 'takes no payment');
            return handler.createPayment(ctx, order, ...rest);
        };
        guarded.settlePayment = async (ctx, order, ...rest) => {
            await this.holds.refuseIfHeld(ctx, order.id, 'its payments must not be captured');
            return handler.settlePayment(ctx, order, ...rest);
        };
        return guarded;
    }

    private guardFulfillments(handler: FulfillmentHandler): FulfillmentHandler {
        const guarded = Object.create(handler) as FulfillmentHandler;
        guarded.createFulfillment = async (ctx, orders, ...rest) => {
            for (const order of orders) {
                await this.holds.refuseIfHeld(ctx, order.id, 'its goods must not be packed');
            }
            return handler.createFulfillment(ctx, orders, ...rest);
        };
        return guarded;
    }
}

/** A server that starts a second time in its process finds the guarded handlers of the first in its configuration. */
function replaceEach<Handler extends object>(handlers: Handler[], guard: (handler: Handler) => Handler): void {
    handlers.forEach((handler, index) => {
        const original = (originals.get(handler) as Handler | undefined) ?? handler;
        const guarded = guard(original);
        originals.set(guarded, original);
        handlers[index] = guarded;
    });
}
