import { context as contexts, ROOT_CONTEXT, trace, TraceFlags, type Context } from '@opentelemetry/api';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, it } from 'vitest';
import { defineActor } from '#runtime/kernel/actor.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';
import { createSystem, type System } from '#runtime/kernel/system.ts';
import { otelTracing, type OtelTracing } from '#runtime/observe/tracing.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { expectBalance } from '#tests/support/actors.ts';

const Hop = protocol('hop', { pass: tell<number>(), passLater: tell<number>(), sum: ask<number, number>(), fail: ask<void, never>() });

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
let tracing: OtelTracing | null = null;

afterEach(() => {
  tracing?.close();
  tracing = null;
  exporter.reset();
});

/** Two actors; each notes the trace that it runs in and passes on what it gets. */
async function play(
  run: (stage: { one: Ref<typeof Hop>; seen: string[]; host: VirtualHost; system: System }) => Promise<void>,
): Promise<void> {
  const host = virtualHost(1);
  tracing = otelTracing(provider.getTracer('test'));
  const system = createSystem({ name: 'test', host, tracing });
  const seen: string[] = [];
  const here = (): string => trace.getSpanContext(contexts.active())?.traceId.slice(-1) ?? '-';
  const hop = (other: () => Ref<typeof Hop>) =>
    defineActor<typeof Hop>({
      protocol: Hop,
      start: (context) => ({
        pass: (left) => {
          seen.push(`${context.path}:${left}:${here()}`);
          if (left > 0) other().pass(left - 1);
        },
        passLater: async (left) => {
          await Promise.resolve();
          seen.push(`${context.path}:${left}:${here()}`);
          if (left > 0) other().passLater(left - 1);
        },
        sum: async (left) => (left === 0 ? 0 : left + (await other().sum(left - 1, { timeoutMs: 100 }))),
        fail: () => {
          throw new Error('on purpose');
        },
      }),
    });
  const one: Ref<typeof Hop> = system.spawn({ id: 'one', restart: 'permanent', actor: hop(() => two) });
  const two: Ref<typeof Hop> = system.spawn({ id: 'two', restart: 'permanent', actor: hop(() => one) });
  await host.settle();
  await run({ one, seen, host, system });
  await host.settle();
  expectBalance(system);
  const shutdown = system.shutdown();
  await host.advance(1_000);
  await shutdown;
  expect(host.pendingTimers).toBe(0);
}

function unsampled(last: string): Context {
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId: `0af7651916cd43dd8448eb211c80319${last}`,
    spanId: 'b7ad6b7169203331',
    traceFlags: TraceFlags.NONE,
  });
}

describe('the context of a trace', () => {
  it('travels with tells, from actor to actor, also over an await', async () => {
    await play(async ({ one, seen, host }) => {
      contexts.with(unsampled('a'), () => one.pass(2));
      contexts.with(unsampled('b'), () => one.passLater(1));
      one.pass(0);
      await host.settle();
      expect(seen.toSorted()).toEqual(['/one:0:-', '/one:0:a', '/one:1:b', '/one:2:a', '/two:0:b', '/two:1:a']);
      expect(trace.getSpanContext(contexts.active())).toBeUndefined();
    });
    expect(exporter.getFinishedSpans()).toEqual([]);
  });
});

const Mixer = protocol('mixer', { mix: tell(), mixLater: tell(), fail: tell(), note: tell<string>() });

describe('a handler that changes the context', () => {
  it('sends each message with the context of its moment, also after an error, after an await and to two systems', async () => {
    const host = virtualHost(1);
    tracing = otelTracing(provider.getTracer('test'));
    const systems = [createSystem({ name: 'first', host, tracing }), createSystem({ name: 'second', host, tracing })] as const;
    const seen: string[] = [];
    const here = (): string => trace.getSpanContext(contexts.active())?.traceId.slice(-1) ?? '-';
    const mixer = (other: () => Ref<typeof Mixer>) =>
      defineActor<typeof Mixer>({
        protocol: Mixer,
        start: (context) => ({
          mix() {
            other().note('before');
            contexts.with(unsampled('x'), () => {
              context.self.note('within');
              contexts.with(unsampled('y'), () => other().note('deeper'));
              other().note('between');
            });
            contexts.bind(unsampled('z'), () => other().note('bound'))();
            context.self.note('after');
          },
          async mixLater() {
            contexts.with(unsampled('x'), () => other().note('first part'));
            await Promise.resolve();
            contexts.with(unsampled('y'), () => other().note('second part'));
            other().note('at last');
          },
          fail() {
            try {
              contexts.with(unsampled('x'), () => {
                throw new Error('caught');
              });
            } catch {
              other().note('caught');
            }
          },
          note: (what) => void seen.push(`${what} ${here()}`),
        }),
      });
    const one: Ref<typeof Mixer> = systems[0].spawn({ id: 'one', restart: 'permanent', actor: mixer(() => two) });
    const two: Ref<typeof Mixer> = systems[1].spawn({ id: 'two', restart: 'permanent', actor: mixer(() => one) });
    await host.settle();
    contexts.with(unsampled('a'), () => one.mix());
    contexts.with(unsampled('b'), () => two.mixLater());
    contexts.with(unsampled('c'), () => one.fail());
    one.note('outside');
    await host.settle();
    expect(seen.toSorted()).toEqual([
      'after a',
      'at last b',
      'before a',
      'between x',
      'bound z',
      'caught c',
      'deeper y',
      'first part x',
      'outside -',
      'second part y',
      'within x',
    ]);
    expect(here()).toBe('-');
    const ended = Promise.all(systems.map((system) => system.shutdown()));
    await host.advance(1_000);
    await ended;
    expect(host.pendingTimers).toBe(0);
  });
});

describe('a recorded trace', () => {
  it('has a span for each message, each the child of its sender, with the path of the actor', async () => {
    await play(async ({ one, host }) => {
      const root = provider.getTracer('test').startSpan('request');
      const sum = contexts.with(trace.setSpan(ROOT_CONTEXT, root), () => one.sum(1, { timeoutMs: 100 }));
      await host.settle();
      expect(await sum).toBe(1);
      root.end();
    });
    const spans = exporter.getFinishedSpans();
    expect(spans.map(({ name, attributes }) => [name, attributes['corpgrid.actor']])).toEqual([
      ['hop.sum', '/two'],
      ['hop.sum', '/one'],
      ['request', undefined],
    ]);
    const [second, first, root] = spans;
    expect(second?.parentSpanContext?.spanId).toBe(first?.spanContext().spanId);
    expect(first?.parentSpanContext?.spanId).toBe(root?.spanContext().spanId);
  });

  it('has the error of a handler that crashed', async () => {
    await play(async ({ one, host }) => {
      const root = provider.getTracer('test').startSpan('request');
      const failing = contexts.with(trace.setSpan(ROOT_CONTEXT, root), () => one.fail(undefined, { timeoutMs: 100 }));
      const outcome = failing.catch((error: unknown) => String(error));
      await host.settle();
      expect(await outcome).toMatch('/one crashed while it handled');
      root.end();
      await host.advance(10_000);
    });
    const [failed] = exporter.getFinishedSpans();
    expect(failed).toMatchObject({ name: 'hop.fail', events: [{ name: 'exception' }] });
  });
});
