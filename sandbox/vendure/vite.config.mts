import { pathToFileURL } from 'node:url';
import { vendureDashboardPlugin } from '@vendure/dashboard/vite';
import { defineConfig } from 'vite';

export default defineConfig({
    base: '/dashboard/',
    build: { outDir: 'dist/dashboard', emptyOutDir: true, chunkSizeWarningLimit: 5000 },
    plugins: [
        vendureDashboardPlugin({
            vendureConfigPath: pathToFileURL('./src/dashboard-config.ts'),
            api: { host: 'auto', port: 'auto' },
            gqlOutputPath: './dist/dashboard-types',
        }),
    ],
});
