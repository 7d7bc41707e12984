import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { OrderCancellationPlugin, recordedPayment } from '@order-cancellation/vendure-plugin';
import { bootstrap, TransactionalConnection, type VendureConfig } from '@vendure/core';
import { Database } from './database';
import { quietLog } from './log';
import { oneAtATime } from './one-at-a-time';
import { plainPayment } from './plain-payment';
import { populate } from './populate';
import { SandboxPlugin } from './sandbox-plugin';

const IDLE_MILLISECONDS = 600_000;

const { values } = parseArgs({
    options: {
        port: { type: 'string', default: '0' },
        data: { type: 'string' },
        plugin: { type: 'boolean', default: false },
    },
});

async function start(folder: string): Promise<void> {
    const database = new Database(folder);
    const config: VendureConfig = {
        apiOptions: {
            hostname: '127.0.0.1',
            port: Number(values.port),
            cors: false,
            csrfPrevention: true,
            middleware: oneAtATime,
        },
        authOptions: {
            tokenMethod: ['bearer', 'cookie'],
            superadminCredentials: { identifier: 'superadmin', password: 'superadmin' },
            cookieOptions: { secret: 'sandbox' },
            requireVerification: false,
        },
        dbConnectionOptions: database.options,
        paymentOptions: { paymentMethodHandlers: [plainPayment] },
        logger: quietLog,
        plugins: [...(values.plugin ? [OrderCancellationPlugin] : []), SandboxPlugin],
    };
    const app = await bootstrap(config);
    if (database.isNew) {
        const recorded = { code: recordedPayment.code, arguments: [{ name: 'fromStorefront', value: 'true' }] };
        await populate(app, values.plugin ? recorded : { code: plainPayment.code, arguments: [] });
        database.startSaving(app.get(TransactionalConnection).rawConnection.sqljsManager.exportDatabase());
    }
    const server = app.getHttpServer() as Server;
    // A client that reuses a connection in the moment in which it is closed for being idle gets no answer.
    server.keepAliveTimeout = IDLE_MILLISECONDS;
    const { port } = server.address() as AddressInfo;
    console.log(JSON.stringify({ url: `http://127.0.0.1:${port}` }));
}

if (!values.data) {
    console.error('Say in which folder the shop keeps its data: --data FOLDER');
    process.exit(2);
}
process.env.VENDURE_DISABLE_TELEMETRY = 'true';
start(values.data).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
});
