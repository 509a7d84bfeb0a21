import { describe, expect, it } from 'vitest';
import { Mailbox } from '#runtime/kernel/mailbox.ts';
import { seededRandom } from '#runtime/simulation/random.ts';

class OpenMailbox extends Mailbox {
  readonly #capacity: number;
  #inHand = false;

  constructor(capacity: number) {
    super();
    this.#capacity = capacity;
  }

  override get capacity(): number {
    return this.#capacity;
  }

  protected override get isInHand(): boolean {
    return this.#inHand;
  }

  put(code: number, body: unknown): boolean {
    return this.push(code, body);
  }

  get(): readonly [number, unknown] | undefined {
    if (!this.take()) return undefined;
    this.#inHand = true;
    const message = [this.slotCode, this.slotBody] as const;
    this.letGo();
    this.#inHand = false;
    return message;
  }

  /** Takes one and does `meanwhile` with it in hand. */
  holding(meanwhile: () => void): void {
    if (!this.take()) throw new Error('nothing to hold');
    this.#inHand = true;
    meanwhile();
    this.letGo();
    this.#inHand = false;
  }
}

describe('a mailbox', () => {
  it.each([1, 2, 3, 7, 8, 9, 15, 16, 17, 100, 1024])('holds exactly %i messages', (capacity) => {
    const mailbox = new OpenMailbox(capacity);
    for (let i = 0; i < capacity; i++) expect(mailbox.put(i, i)).toBe(true);
    expect(mailbox.put(0, 'one too many')).toBe(false);
    expect(mailbox.depth).toBe(capacity);
    mailbox.get();
    expect(mailbox.put(0, 'fits again')).toBe(true);
    expect(mailbox.put(0, 'one too many')).toBe(false);
  });

  it.each([1, 2, 9, 100])('holds %i messages besides the one in hand', (capacity) => {
    const mailbox = new OpenMailbox(capacity);
    mailbox.put(0, 'in hand');
    mailbox.holding(() => {
      expect(mailbox.depth).toBe(0);
      for (let i = 0; i < capacity; i++) expect(mailbox.put(i, i)).toBe(true);
      expect(mailbox.put(0, 'one too many')).toBe(false);
    });
    for (let i = 0; i < capacity; i++) expect(mailbox.get()).toEqual([i, i]);
    expect(mailbox.get()).toBeUndefined();
  });

  it('keeps codes, negative ones too, with their bodies', () => {
    const mailbox = new OpenMailbox(10);
    for (const code of [0, -1, 5, ~5, 2]) mailbox.put(code, `body of ${code}`);
    const taken = Array.from({ length: 6 }, () => mailbox.get());
    expect(taken).toEqual([[0, 'body of 0'], [-1, 'body of -1'], [5, 'body of 5'], [-6, 'body of -6'], [2, 'body of 2'], undefined]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('does what a plain queue does (seed %i)', (seed) => {
    const random = seededRandom(seed);
    const capacity = 1 + Math.floor(random() * 200);
    const mailbox = new OpenMailbox(capacity);
    const model: [number, number][] = [];
    let filling = true;
    for (let step = 0; step < 20_000; step++) {
      if (random() < 0.005) filling = !filling;
      if (random() < (filling ? 0.6 : 0.4)) {
        const fits = model.length < capacity;
        expect(mailbox.put(step % 16, step)).toBe(fits);
        if (fits) model.push([step % 16, step]);
      } else expect(mailbox.get()).toEqual(model.shift());
      expect(mailbox.depth).toBe(model.length);
    }
  });
});
