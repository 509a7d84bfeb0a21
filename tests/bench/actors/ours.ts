import { context as contexts, ROOT_CONTEXT, trace, TraceFlags } from '@opentelemetry/api';

import { realHost } from '#runtime/host.ts';
import { defineActor, type Context } from '#runtime/kernel/actor.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';
import { createSystem, type System, type SystemOptions } from '#runtime/kernel/system.ts';
import { otelTracing } from '#runtime/observe/tracing.ts';

import { bare, cpuMs, type ProgramName, type Run } from './bare.mjs';

/** As many kinds of messages as a JobActor has, and more than 16: all actors of the programs speak it. */
export const BenchProtocol = protocol('bench', {
  accept: tell<number>(),
  assign: tell<number>(),
  beat: tell<number>(),
  cancel: tell<string>(),
  count: tell<number>(),
  echo: ask<number, number>(),
  finish: tell<number>(),
  lease: tell<number>(),
  ping: tell<number>(),
  pong: tell<number>(),
  produce: tell(),
  progress: tell<number>(),
  reply: tell<number>(),
  request: tell<number>(),
  result: tell<number>(),
  retry: tell<number>(),
  status: ask<void, number>(),
  token: tell<number>(),
  work: tell<number>(),
});

type BenchRef = Ref<typeof BenchProtocol>;
type BenchContext = Context<typeof BenchProtocol>;

/** Bounded, but no program of the yardstick fits into less: its producers never wait. */
const CAPACITY = 2 ** 26;

/** An actor's handlers as methods: one table for all actors of the class. */
export class BenchActor {
  protected seen = 0;
  accept(n: number): void {
    this.seen += n;
  }
  assign(n: number): void {
    this.seen += n;
  }
  beat(n: number): void {
    this.seen += n;
  }
  cancel(reason: string): void {
    this.seen += reason.length;
  }
  count(n: number): void {
    this.seen += n;
  }
  echo(n: number): number {
    return n;
  }
  finish(n: number): void {
    this.seen += n;
  }
  lease(n: number): void {
    this.seen += n;
  }
  ping(n: number): void {
    this.seen += n;
  }
  pong(n: number): void {
    this.seen += n;
  }
  produce(): void {
    this.seen += 1;
  }
  progress(n: number): void {
    this.seen += n;
  }
  reply(n: number): void {
    this.seen += n;
  }
  request(n: number): void {
    this.seen += n;
  }
  result(n: number): void {
    this.seen += n;
  }
  retry(n: number): void {
    this.seen += n;
  }
  status(): number {
    return this.seen;
  }
  token(n: number): void {
    this.seen += n;
  }
  work(n: number): void {
    this.seen += n;
  }
}

type Own = Partial<Record<'count' | 'produce' | 'ping' | 'pong' | 'work' | 'token' | 'request' | 'reply', (n: number) => void>>;

/** Makes actors whose handlers are closures, as most of the grid's are. */
function stage(system: System): (make: (context: BenchContext) => Own) => BenchRef {
  let made = 0;
  return (make) =>
    system.spawn({
      id: `a${made++}`,
      restart: 'transient',
      mailbox: { capacity: CAPACITY },
      actor: defineActor<typeof BenchProtocol>({
        protocol: BenchProtocol,
        start: (context) => {
          let seen = 0;
          const add = (n: number): void => {
            seen += n;
          };
          return {
            accept: (n) => add(n),
            assign: (n) => add(n),
            beat: (n) => add(n),
            cancel: (reason) => add(reason.length),
            count: (n) => add(n),
            echo: (n) => n,
            finish: (n) => add(n),
            lease: (n) => add(n),
            ping: (n) => add(n),
            pong: (n) => add(n),
            produce: () => add(1),
            progress: (n) => add(n),
            reply: (n) => add(n),
            request: (n) => add(n),
            result: (n) => add(n),
            retry: (n) => add(n),
            status: () => seen,
            token: (n) => add(n),
            work: (n) => add(n),
            ...make(context),
          };
        },
      }),
    });
}

const pingPong = (system: System, scale: number): Promise<Run> =>
  new Promise((resolve) => {
    const actor = stage(system);
    const rounds = 4_000_000 * scale;
    let started = 0;
    const pong: BenchRef = actor(() => ({
      pong: () => {
        ping.ping(1);
      },
    }));
    const ping = actor(() => {
      let n = 0;
      return {
        ping: () => {
          if (++n >= rounds) resolve({ n: 2 * rounds, ms: cpuMs() - started });
          else pong.pong(1);
        },
      };
    });
    started = cpuMs();
    pong.pong(1);
  });

const counting = (system: System, scale: number): Promise<Run> =>
  new Promise((resolve) => {
    const actor = stage(system);
    const all = 12_000_000 * scale;
    let started = 0;
    const counter = actor(() => {
      let n = 0;
      return {
        count: (m) => {
          n += m;
          if (n === all) resolve({ n: all, ms: cpuMs() - started });
        },
      };
    });
    const producer: BenchRef = actor(() => {
      let left = all;
      return {
        produce: () => {
          const some = Math.min(1_000, left);
          for (let i = 0; i < some; i++) counter.count(1);
          left -= some;
          if (left > 0) producer.produce();
        },
      };
    });
    started = cpuMs();
    producer.produce();
  });

const forkJoin = (system: System, scale: number): Promise<Run> =>
  new Promise((resolve) => {
    const actor = stage(system);
    const actors = 60;
    const each = 60_000 * scale;
    let done = 0;
    const all = Array.from({ length: actors }, () =>
      actor(() => {
        let n = 0;
        let x = 0;
        return {
          work: (m) => {
            x = Math.sin(37.2 + m + x);
            if (++n === each && ++done === actors) resolve({ n: actors * each, ms: cpuMs() - started });
          },
        };
      }),
    );
    const started = cpuMs();
    for (let i = 0; i < each; i++) for (const ref of all) ref.work(i);
  });

const ring = (system: System, scale: number): Promise<Run> =>
  new Promise((resolve) => {
    const actor = stage(system);
    const actors = 100;
    const hops = 8_000_000 * scale;
    const all: BenchRef[] = [];
    for (let i = 0; i < actors; i++) {
      const next = (i + 1) % actors;
      all.push(
        actor(() => ({
          token: (m) => {
            if (m === 0) resolve({ n: hops, ms: cpuMs() - started });
            else all[next]?.token(m - 1);
          },
        })),
      );
    }
    const started = cpuMs();
    all[0]?.token(hops);
  });

const big = (system: System, scale: number): Promise<Run> =>
  new Promise((resolve) => {
    const actor = stage(system);
    const actors = 120;
    const each = 40_000 * scale;
    const all: BenchRef[] = [];
    let done = 0;
    for (let i = 0; i < actors; i++) {
      let seed = i + 1;
      let n = 0;
      all.push(
        actor(() => ({
          request: (from) => {
            all[from]?.reply(0);
          },
          reply: () => {
            if (++n > each) {
              if (++done === actors) resolve({ n: 2 * actors * each, ms: cpuMs() - started });
              return;
            }
            seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff;
            all[seed % actors]?.request(i);
          },
        })),
      );
    }
    const started = cpuMs();
    for (const ref of all) ref.reply(0);
  });

const spawn = (system: System, scale: number): Promise<Run> =>
  new Promise((resolve) => {
    const actors = 400_000 * scale;
    let done = 0;
    class Short extends BenchActor {
      readonly #context: BenchContext;
      constructor(context: BenchContext) {
        super();
        this.#context = context;
      }
      override work(n: number): void {
        Math.sin(n);
        this.#context.stop();
        if (++done === actors) resolve({ n: actors, ms: cpuMs() - started });
      }
    }
    const actor = defineActor<typeof BenchProtocol>({ protocol: BenchProtocol, start: (context) => new Short(context) });
    const started = cpuMs();
    for (let i = 0; i < actors; i++) system.spawn({ restart: 'temporary', actor }).work(i);
  });

const PROGRAMS: Readonly<Record<ProgramName, (system: System, scale: number) => Promise<Run>>> = {
  pingPong,
  counting,
  forkJoin,
  ring,
  big,
  spawn,
};

/** Runs a program twice, each time in a new system; the first one warms up. */
export async function runOurs(program: ProgramName, scale: number, options: Partial<SystemOptions> = {}): Promise<Run> {
  const once = async (): Promise<Run> => {
    const system = createSystem({ name: 'bench', host: realHost(), ...options });
    const run = await PROGRAMS[program](system, scale);
    await system.shutdown();
    return run;
  };
  await once();
  return once();
}

/** The same within a trace that is not sampled, as nearly all are: its context travels with each message. */
export async function runTraced(program: ProgramName, scale: number): Promise<Run> {
  const tracing = otelTracing();
  const spanContext = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: TraceFlags.NONE };
  const traced = trace.setSpanContext(ROOT_CONTEXT, spanContext);
  return contexts.with(traced, () => runOurs(program, scale, { tracing }));
}

const ASKS = 1_000_000;
const DEADLINE = { timeoutMs: 1_000 };

/** One request after the other, each with a deadline. */
export async function ourAsks(scale: number): Promise<Run> {
  const system = createSystem({ name: 'bench', host: realHost() });
  const echo = stage(system)(() => ({}));
  const n = ASKS * scale;
  let started = 0;
  // The first half warms up.
  for (let i = -n; i < n; i++) {
    if (i === 0) started = cpuMs();
    await echo.echo(i, DEADLINE);
  }
  const ms = cpuMs() - started;
  await system.shutdown();
  return { n, ms };
}

/** The least that a request and its answer cost: a promise that the yardstick's actor resolves. */
export async function bareAsks(scale: number): Promise<Run> {
  const actor = bare.spawn(() => (answer) => {
    (answer as never as () => void)();
  });
  const n = ASKS * scale;
  let started = 0;
  for (let i = -n; i < n; i++) {
    if (i === 0) started = cpuMs();
    await new Promise((resolve) => {
      bare.send(actor, resolve as never);
    });
  }
  return { n, ms: cpuMs() - started };
}

const IDLE = defineActor<typeof BenchProtocol>({ protocol: BenchProtocol, start: () => new BenchActor() });

/** Supervised, started, each with a state and handlers of its own, and with nothing to do. */
async function idleActors(count: number): Promise<System> {
  const system = createSystem({ name: 'bench', host: realHost() });
  for (let i = 0; i < count; i++) system.spawn({ restart: 'permanent', actor: IDLE });
  await new Promise((resolve) => setTimeout(resolve, 100));
  return system;
}

/** Bytes of heap for each of 50,000, their states and places in the tree included. */
export async function bytesPerIdleActor(scale: number): Promise<number> {
  const count = Math.round(50_000 * scale);
  const heap = async (): Promise<number> => {
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return process.memoryUsage().heapUsed;
  };
  const before = await heap();
  const system = await idleActors(count);
  const bytes = ((await heap()) - before) / count;
  if (system.inspect().children.length !== count) throw new Error('not all are alive');
  return bytes;
}

/** Resident MiB of a process with a million live actors. */
export async function millionActors(scale: number): Promise<number> {
  const system = await idleActors(Math.round(1_000_000 * scale));
  const mebibytes = process.memoryUsage().rss / 2 ** 20;
  await system.shutdown();
  return mebibytes;
}
