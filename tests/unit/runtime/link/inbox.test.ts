import { describe, expect, it } from 'vitest';

import { Inbox } from '#runtime/link/inbox.ts';
import { LinkViolation } from '#runtime/link/violation.ts';

function at(last: number): Inbox {
  const inbox = new Inbox();
  for (let i = 0; i < last; i++) inbox.advance();
  return inbox;
}

describe('Inbox', () => {
  it('drops what was delivered before', () => {
    const inbox = at(5);
    expect(inbox.repeated(6, 3)).toBe(0);
    expect(inbox.repeated(4, 3)).toBe(2);
    expect(inbox.repeated(1, 5)).toBe(5);
    expect(inbox.repeated(1, 3)).toBe(3);
  });

  it('does not let messages be missing', () => {
    expect(() => at(5).repeated(7, 1)).toThrow(LinkViolation);
  });

  it('counts from 1 again in a new session', () => {
    const inbox = at(5);
    inbox.reset();
    expect(inbox.last).toBe(0);
    expect(inbox.repeated(1, 1)).toBe(0);
  });
});
