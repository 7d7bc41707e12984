import { type Injector, Order, type OrderCodeStrategy, type RequestContext, TransactionalConnection } from '@vendure/core';

const FIRST = 5001;

/** 5001, 5002, …: nobody wants to type Vendure's own codes. */
export class OrderNumbers implements OrderCodeStrategy {
    private connection!: TransactionalConnection;

    init(injector: Injector): void {
        this.connection = injector.get(TransactionalConnection);
    }

    async generate(ctx: RequestContext): Promise<string> {
        return String(FIRST + (await this.connection.getRepository(ctx, Order).count()));
    }
}
