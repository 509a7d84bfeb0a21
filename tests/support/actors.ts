import { expect } from 'vitest';
import type { CrashReport } from '#runtime/kernel/crash-report.ts';
import type { DeadLetter } from '#runtime/kernel/dead-letters.ts';
import { createSystem, type System } from '#runtime/kernel/system.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';

/** An actor system in virtual time, and what it reported. */
export interface Stage {
  readonly host: VirtualHost;
  readonly system: System;
  /** The dead letters so far, with payloads. */
  readonly deadLetters: readonly (DeadLetter & { readonly payload: unknown })[];
  /** The crashes since the last call. A test that does not take its crashes fails. */
  readonly takeCrashes: () => readonly CrashReport[];
  /** What the system ended by itself over. */
  readonly gaveUp: readonly unknown[];
}

/** Longer than any shutdown: one `shutdownMs` for each level of the tree. */
const SHUTDOWN_STEP_MS = 1_000;
const SHUTDOWN_STEPS = 600;

/**
 * Runs a play with an actor system on a virtual host. Afterwards: no crash that the play did not take, the accounts balance, all actors
 * end, and no timer is left.
 */
export async function withSystem(play: (stage: Stage) => Promise<void>, options: { readonly seed?: number } = {}): Promise<void> {
  const host = virtualHost(options.seed ?? 1);
  const crashes: CrashReport[] = [];
  const deadLetters: (DeadLetter & { payload: unknown })[] = [];
  const gaveUp: unknown[] = [];
  const system = createSystem({
    name: 'test',
    host,
    onCrash: (report) => crashes.push(report),
    onGaveUp: (error) => gaveUp.push(error),
    onDeadLetter: (letter, payload) => deadLetters.push({ ...letter, payload }),
  });
  await host.settle();
  await play({ host, system, deadLetters, takeCrashes: () => crashes.splice(0), gaveUp });
  await host.settle();
  expect(crashes, 'crashes that the test did not take').toEqual([]);
  expectBalance(system);
  await shutDown(host, system);
  expectBalance(system);
  expect(system.accounting().queued, 'queued in a system that was shut down').toBe(0);
  expect(system.inspect(), 'actors left').toMatchObject({ state: 'stopped', children: [] });
  expect(host.pendingTimers, 'timers left').toBe(0);
}

/** Nothing is silently lost: sent = handled + dead letters + queued. */
export function expectBalance(system: System): void {
  const { sent, handled, deadLettered, queued, lost } = system.accounting();
  expect(handled + deadLettered + queued + lost, 'handled + deadLettered + queued + lost').toBe(sent);
}

async function shutDown(host: VirtualHost, system: System): Promise<void> {
  const shutdown = system.shutdown();
  await host.settle();
  for (let step = 0; step < SHUTDOWN_STEPS && system.inspect().state !== 'stopped'; step++) await host.advance(SHUTDOWN_STEP_MS);
  expect(system.inspect().state, 'the system after its shutdown').toBe('stopped');
  await shutdown;
}
