import type { VendureConfig } from '@vendure/core';
import { shopConfig } from './config';

/** The configuration by which the dashboard is built (vite.config.mts): with the fields of the plugin. */
export const config: VendureConfig = shopConfig({ port: 0, database: { type: 'sqljs' }, hasPlugin: true });
