import { Injectable } from '@nestjs/common';
import {
    EntityNotFoundError,
    Fulfillment,
    FulfillmentLine,
    type ID,
    Order,
    OrderLine,
    Payment,
    type RequestContext,
    TransactionalConnection,
    type Type,
    type VendureEntity,
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

/** Lets only one request at a time change an order. */
@Injectable()
export class OrderLock {
    private readonly locksRows: boolean;

    constructor(private readonly connection: TransactionalConnection) {
        this.locksRows = LOCKING_DATABASES.includes(connection.rawConnection.options.type);
    }

    /** Run `work` on an order of this channel, in a transaction that overlaps with no other work on the same order. */
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

    /**
     * Returns the order as it is now. No other transaction changes its row until the one of `ctx` ends. A merchant's own
     * code may have no transaction. Then the row is read without a lock.
     */
    async lock(ctx: RequestContext, orderId: ID): Promise<Order> {
        return this.lockOne(ctx, Order, orderId);
    }

    /** The lines of the order, locked like the order itself. */
    async lockLines(ctx: RequestContext, orderId: ID): Promise<OrderLine[]> {
        return this.selectCurrent(ctx, OrderLine)
            .where('row.orderId = :orderId', { orderId })
            .orderBy('row.id')
            .getMany();
    }

    async lockLine(ctx: RequestContext, orderLineId: ID): Promise<OrderLine> {
        return this.lockOne(ctx, OrderLine, orderLineId);
    }

    async lockPayment(ctx: RequestContext, paymentId: ID): Promise<Payment> {
        return this.lockOne(ctx, Payment, paymentId);
    }

    async lockFulfillment(ctx: RequestContext, fulfillmentId: ID): Promise<Fulfillment> {
        return this.lockOne(ctx, Fulfillment, fulfillmentId);
    }

    /** How many units of the line are in fulfillments that are not cancelled. */
    async countPackedUnits(ctx: RequestContext, orderLineId: ID): Promise<number> {
        const packed = await this.selectCurrent(ctx, FulfillmentLine)
            .innerJoinAndSelect('row.fulfillment', 'fulfillment')
            .where('row.orderLineId = :orderLineId', { orderLineId })
            .getMany();
        return packed
            .filter(({ fulfillment }) => fulfillment.state !== 'Cancelled')
            .reduce((units, { quantity }) => units + quantity, 0);
    }

    private async lockOne<Entity extends VendureEntity>(
        ctx: RequestContext,
        entity: Type<Entity>,
        id: ID,
    ): Promise<Entity> {
        const row = await this.selectCurrent(ctx, entity).where('row.id = :id', { id }).getOne();
        if (!row) {
            throw new EntityNotFoundError(entity.name as ConstructorParameters<typeof EntityNotFoundError>[0], id);
        }
        return row;
    }

    // Without a lock MySQL would show the rows as they were before the transaction waited for the order.
    private selectCurrent<Entity extends VendureEntity>(ctx: RequestContext, entity: Type<Entity>) {
        const repository = this.connection.getRepository(ctx, entity);
        const query = repository.createQueryBuilder('row');
        const locks = this.locksRows && repository.manager.queryRunner?.isTransactionActive === true;
        return locks ? query.setLock('pessimistic_write') : query;
    }
}
