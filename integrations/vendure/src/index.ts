export { CANCELLATION_HEADER, OrderHold } from './holds';
export { OrderCancellationPlugin } from './plugin';
export { recordedPayment } from './recorded-payment';
