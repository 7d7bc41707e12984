import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { recordedPayment } from '@order-cancellation/vendure-plugin';
import { bootstrap, TransactionalConnection, type Type } from '@vendure/core';
import { shopConfig } from './config';
import { Database } from './database';
import { plainPayment } from './plain-payment';
import { populate } from './populate';

const IDLE_MILLISECONDS = 600_000;

/** A string and no import, because the tests do without this package, which is larger than all others together. */
const DASHBOARD: string = '@vendure/dashboard/plugin';

interface DashboardModule {
    DashboardPlugin: { init(options: { route: string; appDir: string }): Type<unknown> };
}

const { values } = parseArgs({
    options: {
        port: { type: 'string', default: '0' },
        data: { type: 'string' },
        plugin: { type: 'boolean', default: false },
        dashboard: { type: 'boolean', default: false },
    },
});

async function loadDashboard(): Promise<Type<unknown>> {
    const { DashboardPlugin } = (await import(DASHBOARD)) as DashboardModule;
    return DashboardPlugin.init({ route: 'dashboard', appDir: join(__dirname, 'dashboard') });
}

async function start(folder: string): Promise<void> {
    const database = new Database(folder);
    const app = await bootstrap(
        shopConfig({
            port: Number(values.port),
            database: database.options,
            hasPlugin: values.plugin,
            dashboard: values.dashboard ? await loadDashboard() : undefined,
        }),
    );
    if (database.isNew) {
        const recorded = { code: recordedPayment.code, arguments: [{ name: 'fromStorefront', value: 'true' }] };
        await populate(app, values.plugin ? recorded : { code: plainPayment.code, arguments: [] });
        database.startSaving(app.get(TransactionalConnection).rawConnection.sqljsManager.exportDatabase());
    }
    const server = app.getHttpServer() as Server;
    // A client that reuses a connection at the moment when it is closed as idle gets no answer.
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
