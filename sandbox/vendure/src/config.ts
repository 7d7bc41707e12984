import { OrderCancellationPlugin } from '@order-cancellation/vendure-plugin';
import type { Type, VendureConfig } from '@vendure/core';
import type { DataSourceOptions } from 'typeorm';
import { quietLog } from './log';
import { oneAtATime } from './one-at-a-time';
import { plainPayment } from './plain-payment';
import { SandboxPlugin } from './sandbox-plugin';

export interface Shop {
    port: number;
    database: DataSourceOptions;
    hasPlugin: boolean;
    /** Vendure's dashboard, where it is installed and asked for. */
    dashboard?: Type<unknown>;
}

export function shopConfig({ port, database, hasPlugin, dashboard }: Shop): VendureConfig {
    return {
        apiOptions: { hostname: '127.0.0.1', port, cors: false, csrfPrevention: true, middleware: oneAtATime },
        authOptions: {
            tokenMethod: ['bearer', 'cookie'],
            superadminCredentials: { identifier: 'superadmin', password: 'superadmin' },
            cookieOptions: { secret: 'sandbox' },
            requireVerification: false,
        },
        dbConnectionOptions: database,
        paymentOptions: { paymentMethodHandlers: [plainPayment] },
        logger: quietLog,
        plugins: [...(hasPlugin ? [OrderCancellationPlugin] : []), ...(dashboard ? [dashboard] : []), SandboxPlugin],
    };
}
