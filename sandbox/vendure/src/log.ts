import type { VendureLogger } from '@vendure/core';

const ignore = (): void => undefined;

/** Warnings and errors only, on standard error: standard output has the address. */
export const quietLog: VendureLogger = {
    error: (message, context, trace) => console.error(`error ${context ?? ''} ${message} ${trace ?? ''}`),
    warn: (message, context) => console.error(`warn ${context ?? ''} ${message}`),
    info: ignore,
    verbose: ignore,
    debug: ignore,
};
