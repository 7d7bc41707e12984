import type { VendureConfig } from '@vendure/core';
import { shopConfig } from './config';

/** By which the dashboard is built (vite.config.mts): it knows the fields of the plugin. */
export const config: VendureConfig = shopConfig({ port: 0, database: { type: 'sqljs' }, hasPlugin: true });
