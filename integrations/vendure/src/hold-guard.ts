import type { OnApplicationBootstrap } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import {
    ConfigService,
    EventBus,
    type FulfillmentHandler,
    type FulfillmentProcess,
    type FulfillmentState,
    HistoryEntryEvent,
    I18nService,
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
import { OrderLock } from './order-lock';
import { StaleReads } from './stale-reads';

let holds: OrderHolds;
let lock: OrderLock;
let staleReads: StaleReads;

const init: NonNullable<FulfillmentProcess<FulfillmentState>['init']> = injector => {
    holds = injector.get(OrderHolds);
    lock = injector.get(OrderLock);
    staleReads = injector.get(StaleReads);
};

/** Parcels of a held order are neither shipped nor cancelled. Deliveries are still recorded. */
export const guardedFulfillments: FulfillmentProcess<FulfillmentState> = {
    init,
    onTransitionStart: async (fromState, toState, { ctx, orders, fulfillment }) => {
        for (const order of sortById(orders)) {
            if (fromState === 'Shipped' && toState === 'Delivered') {
                await lock.lock(ctx, order.id);
            } else {
                await holds.refuseIfHeld(ctx, order.id, 'its parcels must not be shipped or changed');
            }
        }
        await staleReads.refuseChangedFulfillment(ctx, fulfillment);
    },
};

/** A held order is neither modified nor cancelled. It still becomes shipped or delivered as its parcels do. */
export const guardedOrders: OrderProcess<OrderState> = {
    init,
    onTransitionStart: async (fromState, toState, { ctx, order }) => {
        const changingStates = ['Modifying', 'ArrangingAdditionalPayment', 'Cancelled'];
        const isChange = changingStates.includes(fromState) || changingStates.includes(toState);
        if (order.active && !isChange) {
            return;
        }
        const current = isChange
            ? await holds.refuseIfHeld(ctx, order.id, 'must not be changed')
            : await lock.lock(ctx, order.id);
        staleReads.refuseChangedState(current, order);
        // Vendure saves the order that it has read, but a hold may have been set since.
        const { heldByCancellation, releasedCancellations } = current.customFields;
        Object.assign(order.customFields, { heldByCancellation, releasedCancellations });
    },
};

/** Payments that staff add by hand reach no handler, so they are refused here. */
export const guardedPayments: PaymentProcess<PaymentState> = {
    init,
    onTransitionStart: async (fromState, _toState, { ctx, order }) => {
        if (fromState === 'Created') {
            await holds.refuseIfHeld(ctx, order.id, 'takes no payment');
        }
    },
};

/** The handler behind each guarded one. */
// Vendure's dashboard shows the message of an error alone, which does not say why: "An error occurred when attempting to
// create the Fulfillment". So the reason, which these errors have in a field of its own, becomes their message. It is in
// one language, so it is the same in each of Vendure's.
const reasonsAsMessages = {
    errorResult: {
        CREATE_FULFILLMENT_ERROR: '{ fulfillmentHandlerError }',
        FULFILLMENT_STATE_TRANSITION_ERROR: '{ transitionError }',
        ORDER_STATE_TRANSITION_ERROR: '{ transitionError }',
        PAYMENT_STATE_TRANSITION_ERROR: '{ transitionError }',
    },
};
const languages = ['de', 'en', 'es', 'fr', 'pt_BR', 'pt_PT', 'ru', 'uk'];

const originals = new WeakMap<object, object>();

/**
 * Refuses what the processes above learn too late or not at all. A payment handler has captured the money, and a
 * fulfillment handler has bought the label, before their process is asked. Units leave an order without any process.
 */
@Injectable()
export class HoldGuard implements OnApplicationBootstrap {
    constructor(
        private readonly config: ConfigService,
        private readonly events: EventBus,
        private readonly holds: OrderHolds,
        private readonly i18n: I18nService,
        private readonly staleReads: StaleReads,
    ) {}

    onApplicationBootstrap(): void {
        languages.forEach(language => this.i18n.addTranslation(language, reasonsAsMessages));
        // Here and not in the plugin's configuration, so that handlers which other plugins add are guarded as well.
        replaceEach(this.config.paymentOptions.paymentMethodHandlers, handler => this.guardPayments(handler));
        replaceEach(this.config.shippingOptions.fulfillmentHandlers, handler => this.guardFulfillments(handler));
        this.events.registerBlockingEventHandler({
            id: 'order-cancellation-lines',
            event: OrderLineEvent,
            handler: async ({ ctx, order, type }) => {
                if (order.active) {
                    return;
                }
                const current = await this.holds.refuseIfHeld(ctx, order.id, 'its lines must not be changed');
                if (type === 'cancelled') {
                    this.staleReads.refuseChangedOrder(current, order);
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
            const current = await this.holds.refuseIfHeld(ctx, order.id, 'takes no payment');
            if (!order.active) {
                this.staleReads.refuseChangedTotal(current, order);
            }
            return handler.createPayment(ctx, order, ...rest);
        };
        guarded.settlePayment = async (ctx, order, payment, ...rest) => {
            const current = await this.holds.refuseIfHeld(ctx, order.id, 'its payments must not be captured');
            this.staleReads.refuseChangedTotal(current, order);
            await this.staleReads.refuseChangedPayment(ctx, current, payment);
            return handler.settlePayment(ctx, order, payment, ...rest);
        };
        return guarded;
    }

    private guardFulfillments(handler: FulfillmentHandler): FulfillmentHandler {
        const guarded = Object.create(handler) as FulfillmentHandler;
        guarded.createFulfillment = async (ctx, orders, lines, ...rest) => {
            for (const order of sortById(orders)) {
                await this.holds.refuseIfHeld(ctx, order.id, 'its goods must not be packed');
            }
            await this.staleReads.refuseMissingUnits(ctx, lines);
            return handler.createFulfillment(ctx, orders, lines, ...rest);
        };
        return guarded;
    }
}

/** All requests lock orders in the same sequence, so that no two of them wait for each other. */
function sortById(orders: Order[]): Order[] {
    return [...orders].sort((first, second) => String(first.id).localeCompare(String(second.id)));
}

/** A second server in the same process finds the guarded handlers of the first in its configuration. */
function replaceEach<Handler extends object>(handlers: Handler[], guard: (handler: Handler) => Handler): void {
    handlers.forEach((handler, index) => {
        const original = (originals.get(handler) as Handler | undefined) ?? handler;
        const guarded = guard(original);
        originals.set(guarded, original);
        handlers[index] = guarded;
    });
}
