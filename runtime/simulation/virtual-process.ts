import type { Host } from '#runtime/kernel/host.ts';

import type { VirtualHost } from './virtual-host.ts';

/**
 * One process among several on a virtual host: running ⇄ frozen, and dead from either.
 *
 * What comes from outside (timers, sockets, answers of the database) goes through it. While it is frozen, as by SIGSTOP, a
 * sleeping laptop or a long garbage collection, all that waits, and comes late and in order when it is thawed. When it is dead
 * nothing runs any more. Its calendar may be wrong by itself; its monotonic clock is everybody's.
 */
export interface VirtualProcess {
  readonly name: string;
  readonly host: Host;
  readonly state: 'running' | 'frozen' | 'dead';
  /** Runs what came from outside: now, after the thaw, or never. */
  enter(run: () => void): void;
  /** Settles as soon as the process runs; never when it is dead. */
  running(): Promise<void>;
  freeze(): void;
  thaw(): void;
  kill(): void;
  /** Sets its calendar forward or back. */
  skewWall(ms: number): void;
}

export function virtualProcess(world: VirtualHost, name: string): VirtualProcess {
  let state: VirtualProcess['state'] = 'running';
  let backlog: (() => void)[] = [];
  let skew = 0;

  const enter = (run: () => void): void => {
    if (state === 'running') run();
    else if (state === 'frozen') backlog.push(run);
  };
  const { scheduler } = world;

  return {
    name,
    host: {
      clock: { now: () => world.clock.now(), wall: () => world.clock.wall() + skew },
      scheduler: {
        microtask: (run) => scheduler.microtask(() => enter(run)),
        yieldThen: (run) => scheduler.yieldThen(() => enter(run)),
        after: (ms, run) => {
          let cancelled = false;
          const timer = scheduler.after(ms, () => enter(() => (cancelled ? undefined : run())));
          return {
            cancel: () => {
              cancelled = true;
              timer.cancel();
            },
          };
        },
      },
      random: () => world.random(),
    },
    get state() {
      return state;
    },
    enter,
    running: () => (state === 'running' ? Promise.resolve() : new Promise((resolve) => enter(resolve))),
    freeze() {
      if (state === 'running') state = 'frozen';
    },
    thaw() {
      if (state !== 'frozen') return;
      state = 'running';
      const late = backlog;
      backlog = [];
      for (const run of late) enter(run);
    },
    kill() {
      state = 'dead';
      backlog = [];
    },
    skewWall(ms) {
      skew += ms;
    },
  };
}
