import type { Middleware } from '@vendure/core';
import type { NextFunction, Request, Response } from 'express';

let last: Promise<void> = Promise.resolve();

/**
 * Carries out one request after the other. All requests share the one connection of this SQLite, where two transactions
 * at once become one inside the other: the first is answered although it is undone when the second fails.
 */
async function waitForEarlier(_request: Request, response: Response, next: NextFunction): Promise<void> {
    const earlier = last;
    let finish: () => void = () => undefined;
    last = new Promise(resolve => (finish = resolve));
    await earlier;
    // Not the events "finish" or "close": a client that goes away closes the connection before its request is done.
    const end = response.end;
    response.end = ((...answer: Parameters<typeof end>) => {
        finish();
        return end.apply(response, answer);
    }) as typeof end;
    next();
}

export const oneAtATime: Middleware[] = ['admin-api', 'shop-api'].map(route => ({
    handler: waitForEarlier,
    route,
    beforeListen: true,
}));
