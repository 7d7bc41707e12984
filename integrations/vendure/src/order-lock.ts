import { Injectable } from '@nestjs/common';
import {
    EntityNotFoundError,
    type ID,
    Order,
    OrderLine,
    type RequestContext,
    TransactionalConnection,
} from '@vendure/core';

// SQLite has no locks of rows. It is for development, where one server has its only connection.
const LOCKING_DATABASES: readonly string[] = [
    'postgres',
    'cockroachdb',
    'mysql',
    'mariadb',
    'aurora-mysql',
    'aurora-postgres',
];

/** Lets one request at a time change an order. */
@Injectable()
export class OrderLock {
    private readonly locksRows: boolean;

    constructor(private readonly connection: TransactionalConnection) {
        this.locksRows = LOCKING_DATABASES.includes(connection.rawConnection.options.type);
    }

    /** Run `work` on the order of this channel in a transaction that no other such work on the order overlaps. */
    async change<T>(
        ctx: RequestContext,
        orderId: ID,
        work: (tx: RequestContext, order: Order) => Promise<T>,
    ): Promise<T> {
        return this.connection.withTransaction(ctx, async tx => {
            const order = await this.lock(tx, orderId);
            // Refuses orders of other channels.
            await this.connection.getEntityOrThrow(tx, Order, orderId, { channelId: tx.channelId });
            return work(tx, order);
        });
    }

    /** The order as it is now. Until the transaction of `ctx` ends, no other one changes its row. */
    async lock(ctx: RequestContext, orderId: ID): Promise<Order> {
        const query = this.connection
            .getRepository(ctx, Order)
            .createQueryBuilder('order')
            .where('order.id = :orderId', { orderId });
        const order = await (this.locksRows ? query.setLock('pessimistic_write') : query).getOne();
        if (!order) {
            throw new EntityNotFoundError('Order', orderId);
        }
        return order;
    }

    /** The lines of the order, locked like the order itself. */
    async lockLines(ctx: RequestContext, orderId: ID): Promise<OrderLine[]> {
        const query = this.connection
            .getRepository(ctx, OrderLine)
            .createQueryBuilder('line')
            .where('line.orderId = :orderId', { orderId })
            .orderBy('line.id');
        return (this.locksRows ? query.setLock('pessimistic_write') : query).getMany();
    }
}
