import { describe, expect, it } from 'vitest';

import { Inbox } from '#runtime/link/inbox.ts';
import { LinkViolation } from '#runtime/link/violation.ts';

function at(last: number): Inbox {
  const inbox = new Inbox({ bytes: 100_000, messages: 4 });
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

  it('says that messages are consumed in order only, whatever the order in which they were', () => {
    const inbox = at(5);
    const [six, seven] = [inbox.hold(10), inbox.hold(20)];
    inbox.advance();
    expect([inbox.position, inbox.heldBytes]).toEqual([{ seen: 8, consumed: 5, partial: 0 }, 30]);
    expect(seven()).toBe(0);
    expect(inbox.consumed).toBe(5);
    expect(six()).toBe(3);
    expect([inbox.position, inbox.heldBytes]).toEqual([{ seen: 8, consumed: 8, partial: 0 }, 0]);
  });

  it('keeps count over many messages, some consumed at once and some later', () => {
    const inbox = new Inbox({ bytes: 1_000_000, messages: 10_000 });
    const open: (() => number)[] = [];
    let freed = 0;
    for (let n = 1; n <= 5_000; n++) {
      if (n % 3 === 0) inbox.advance();
      else open.push(inbox.hold(7));
      if (n % 2 === 0) freed += open.splice(n % open.length, 1)[0]?.() ?? 0;
    }
    for (const done of open) freed += done();
    expect([inbox.last, inbox.consumed, inbox.heldBytes]).toEqual([5_000, 5_000, 0]);
    expect(freed).toBe(5_000);
  });

  it('does not take more than the window, but one message of any size when nothing is held', () => {
    const inbox = at(1);
    inbox.admit(1, 9_000_000);
    const done = inbox.hold(90_000);
    inbox.admit(1, 70_000);
    expect(() => inbox.admit(1, 80_000)).toThrow('More than 100000 bytes');
    expect(() => inbox.admit(4, 1)).toThrow('More than 4 messages');
    done();
    inbox.admit(1, 9_000_000);
  });
});
