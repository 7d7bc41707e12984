export { OrderCancellationPlugin } from './plugin';
export { recordedPayment } from './recorded-payment';
