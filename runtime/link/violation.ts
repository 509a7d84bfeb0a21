import { Refusal } from '#runtime/kernel/errors.ts';

/**
 * The peer broke the link's protocol: bytes that are no frame, numbers that cannot be, sizes over the limit.
 * The session ends with the reason `protocol`; the owner gets this error to log. Never sent over the wire.
 */
export class LinkViolation extends Refusal {
  override readonly name = 'LinkViolation';

  constructor(message: string) {
    super('LINK_VIOLATION', message);
  }
}
