import { describe, expect, it } from 'vitest';
import { RestartWindow } from '#runtime/kernel/restart-window.ts';

interface Case {
  readonly name: string;
  readonly intensity: number;
  readonly periodMs: number;
  readonly at: readonly number[];
  readonly admits: readonly boolean[];
}

// After OTP's supervisor:add_restart/3: in_period(Now, Since, Period) is Since >= Now - Period, and CurI =< I goes on.
const CASES: readonly Case[] = [
  { name: 'intensity 0 never restarts', intensity: 0, periodMs: 1_000, at: [0, 5_000], admits: [false, false] },
  { name: 'intensity 1 restarts once', intensity: 1, periodMs: 1_000, at: [0, 500], admits: [true, false] },
  { name: 'one period old still counts', intensity: 1, periodMs: 1_000, at: [0, 1_000], admits: [true, false] },
  { name: 'older than a period does not', intensity: 1, periodMs: 1_000, at: [0, 1_001, 2_002], admits: [true, true, true] },
  { name: 'the window slides', intensity: 2, periodMs: 100, at: [0, 60, 120, 180, 200], admits: [true, true, true, true, false] },
  { name: 'a burst at one instant', intensity: 3, periodMs: 10, at: [5, 5, 5, 5], admits: [true, true, true, false] },
];

describe('restart intensity', () => {
  it.each(CASES)('$name', ({ intensity, periodMs, at, admits }) => {
    const window = new RestartWindow(intensity, periodMs);
    expect(at.map((now) => window.admits(now))).toEqual(admits);
  });
});
