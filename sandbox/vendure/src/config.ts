import { OrderCancellationPlugin } from '@order-cancellation/vendure-plugin';
import type { Type, VendureConfig } from '@vendure/core';
import type { DataSourceOptions } from 'typeorm';
import { quietLog } from './log';
import { oneAtATime } from './one-at-a-time';
import { OrderNumbers } from './order-numbers';
import { plainPayment } from './plain-payment';
import { SandboxPlugin } from './sandbox-plugin';

export interface ShopOptions {
    port: number;
    database: DataSourceOptions;
    hasPlugin: boolean;
    /** Vendure's dashboard, where it is asked for. With it, orders have short numbers, because people read and type them. */
    dashboard?: Type<unknown>;
}

export function shopConfig({ port, database, hasPlugin, dashboard }: ShopOptions): VendureConfig {
    return {
        apiOptions: { hostname: '127.0.0.1', port, cors: false, csrfPrevention: true, middleware: oneAtATime },
        authOptions: {
            tokenMethod: ['bearer', 'cookie'],
            superadminCredentials: { identifier: 'superadmin', password: 'superadmin' },
            cookieOptions: { secret: 'sandbox' },
            requireVerification: false,
        },
        dbConnectionOptions: database,
        orderOptions: dashboard ? { orderCodeStrategy: new OrderNumbers() } : {},
        paymentOptions: { paymentMethodHandlers: [plainPayment] },
        logger: quietLog,
        plugins: [...(hasPlugin ? [OrderCancellationPlugin] : []), ...(dashboard ? [dashboard] : []), SandboxPlugin],
    };
}
