import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Autoscale, type PoolLoad, TIMES } from '#actors/model-pool/autoscale.ts';

const LOAD: PoolLoad = { now: 0, waiting: 0, oldestMs: 0, ready: 2, coming: 0, slots: 8, slotsOfOne: 4, active: 8 };
const PRESSED = { waiting: 8, oldestMs: 100 };

describe('the number of replicas', () => {
  it('grows when more wait than all can take, but not for a burst', () => {
    const scale = new Autoscale();
    expect(scale.judge({ ...LOAD, ...PRESSED })).toBeNull();
    expect(scale.judge({ ...LOAD, ...PRESSED, now: TIMES.growAfterMs - 1 })).toBeNull();
    expect(scale.judge({ ...LOAD, now: TIMES.growAfterMs })).toBeNull();
    expect(scale.judge({ ...LOAD, ...PRESSED, now: TIMES.growAfterMs + 1 })).toBeNull();
    expect(scale.judge({ ...LOAD, ...PRESSED, now: 2 * TIMES.growAfterMs + 1 })).toEqual({ grow: 2 });
  });

  it('grows when somebody waits too long, though few wait', () => {
    const scale = new Autoscale();
    const load = { ...LOAD, waiting: 1, oldestMs: TIMES.waitMs };
    expect(scale.judge({ ...load, oldestMs: TIMES.waitMs - 1 })).toBeNull();
    expect(scale.judge({ ...load, now: 1 })).toBeNull();
    expect(scale.judge({ ...load, now: 1 + TIMES.growAfterMs })).toEqual({ grow: 1 });
  });

  it('grows by what the queue would fill, at most to twice as many, and not again before those are there', () => {
    const scale = new Autoscale();
    const load = { ...LOAD, waiting: 1_000, oldestMs: 10_000, ready: 3 };
    scale.judge(load);
    expect(scale.judge({ ...load, now: TIMES.growAfterMs })).toEqual({ grow: 3 });
    for (let n = 2; n < 50; n++) expect(scale.judge({ ...load, coming: 3, now: n * TIMES.growAfterMs })).toBeNull();
    expect(scale.judge({ ...load, ready: 6, now: 50 * TIMES.growAfterMs })).toBeNull();
    expect(scale.judge({ ...load, ready: 6, now: 51 * TIMES.growAfterMs })).toEqual({ grow: 6 });
  });

  it('leaves the first replica to those who ask', () => {
    const scale = new Autoscale();
    for (let n = 0; n < 10; n++)
      expect(scale.judge({ ...LOAD, ...PRESSED, ready: 0, slots: 0, active: 0, now: n * TIMES.growAfterMs })).toBeNull();
  });

  it('shrinks one by one after a long calm, to the last one', () => {
    const scale = new Autoscale();
    const calm = { ...LOAD, active: 2 };
    expect(scale.judge(calm)).toBeNull();
    expect(scale.judge({ ...calm, now: TIMES.shrinkAfterMs - 1 })).toBeNull();
    expect(scale.judge({ ...calm, now: TIMES.shrinkAfterMs })).toEqual({ shrink: true });
    expect(scale.judge({ ...calm, now: TIMES.shrinkAfterMs + 1 })).toBeNull();
    expect(scale.judge({ ...calm, now: 2 * TIMES.shrinkAfterMs })).toEqual({ shrink: true });
    expect(scale.judge({ ...calm, active: 0, ready: 1, slots: 4, now: 3 * TIMES.shrinkAfterMs })).toBeNull();
    expect(scale.judge({ ...calm, active: 0, ready: 1, slots: 4, now: 9 * TIMES.shrinkAfterMs })).toBeNull();
  });

  it('does not shrink while one replica less would be more than half full, nor when somebody came meanwhile', () => {
    const scale = new Autoscale();
    for (let n = 0; n < 5; n++) expect(scale.judge({ ...LOAD, active: 3, now: n * TIMES.shrinkAfterMs })).toBeNull();
    const begun = 5 * TIMES.shrinkAfterMs;
    expect(scale.judge({ ...LOAD, active: 0, now: begun })).toBeNull();
    expect(scale.judge({ ...LOAD, active: 0, waiting: 1, now: begun + TIMES.shrinkAfterMs - 1 })).toBeNull();
    expect(scale.judge({ ...LOAD, active: 0, now: begun + TIMES.shrinkAfterMs })).toBeNull();
  });

  it('never shrinks sooner after growing than a whole calm takes, whatever happens', () => {
    const moment = fc.record({
      pause: fc.integer({ min: 0, max: 60_000 }),
      waiting: fc.integer({ min: 0, max: 20 }),
      oldestMs: fc.integer({ min: 0, max: 10_000 }),
      coming: fc.integer({ min: 0, max: 1 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 200 }), (moments) => {
        const scale = new Autoscale();
        let now = 0;
        let ready = 1;
        let grownAt = Number.NEGATIVE_INFINITY;
        for (const { pause, share, ...rest } of moments) {
          now += pause;
          const slots = ready * 4;
          const scaling = scale.judge({ ...rest, now, ready, slots, slotsOfOne: 4, active: Math.floor(share * slots) });
          if (scaling === null) continue;
          if ('grow' in scaling) {
            expect(scaling.grow).toBeGreaterThan(0);
            expect(scaling.grow).toBeLessThanOrEqual(ready);
            ready += scaling.grow;
            grownAt = now;
          } else {
            ready -= 1;
            expect(ready).toBeGreaterThan(0);
            expect(now - grownAt).toBeGreaterThanOrEqual(TIMES.shrinkAfterMs);
          }
        }
      }),
    );
  });
});
