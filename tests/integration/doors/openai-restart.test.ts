import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { newKey } from './visitors.ts';

const MODEL = 'tiny';
const CONTEXT = 8_192;
const REQUEST = {
  model: MODEL,
  messages: [{ role: 'user', content: 'Tell me about a lighthouse.' }],
  max_tokens: 3_000,
  seed: 11,
  temperature: 0.9,
  stream: true,
  stream_options: { include_usage: true },
};

interface Part {
  readonly events: readonly { number: number; data: string }[];
  /** The stream ended by itself. */
  readonly whole: boolean;
}

/** Reads events, into that list, until the end or the loss of the connection. */
async function read(response: Response, events: { number: number; data: string }[] = []): Promise<Part> {
  let held = '';
  try {
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      held += piece;
      const blocks = held.split('\n\n');
      held = blocks.pop() ?? '';
      for (const block of blocks) {
        const number = /^id: \S+:(\d+)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (number !== undefined && data !== undefined) events.push({ number: Number(number), data });
      }
    }
  } catch {
    return { events, whole: false };
  }
  return { events, whole: true };
}

function textOf(events: Part['events']): string {
  return events
    .filter(({ data }) => data !== '[DONE]')
    .map(({ data }) => (JSON.parse(data) as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content ?? '')
    .join('');
}

describe('a stream whose coordinator is killed', () => {
  let grid: Grid;
  let key: string;

  beforeAll(async () => {
    grid = await startGrid({ logLevel: 'info' });
    const file = path.join(grid.folder, `${MODEL}.gguf`);
    writeTinyLlama(file, { contextLength: CONTEXT });
    for (const name of ['a', 'b']) await grid.startAgent(name, { slots: 0, models: [file], contextSize: CONTEXT, sequences: 2 });
    await untilPresent(grid, grid.agents.map(({ device }) => device)); // prettier-ignore
    ({ key } = await newKey(grid, 'writers'));
  });
  afterAll(() => endWithoutLeak(grid));

  async function ask(body: object): Promise<Response> {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-corpgrid-keep': '60' };
    return fetch(`${grid.url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  async function resume(stream: string, last: number): Promise<Response> {
    const headers = { authorization: `Bearer ${key}`, 'last-event-id': `${stream}:${last}` };
    return fetch(`${grid.url}/v1/streams/${stream}`, { headers });
  }

  /** Kills the coordinator once the client has seen something, then asks for the rest. */
  async function cutAndResumed(request: object, meanwhile: (device: string) => Promise<unknown>): Promise<Part['events']> {
    const response = await ask(request);
    const stream = response.headers.get('x-corpgrid-stream') ?? '';
    const events: { number: number; data: string }[] = [];
    const first = read(response, events);
    const hears = async (more: number): Promise<void> => {
      const enough = events.length + more;
      await waitUntil('more of the answer is there', async () => events.length >= enough);
    };
    await hears(4);
    await meanwhile(response.headers.get('x-corpgrid-device') ?? '');
    await hears(3);
    await grid.coordinator.kill();
    const cut = await first;
    expect(cut.whole).toBe(false);
    await grid.restartCoordinator();
    const again = await resume(stream, cut.events.at(-1)?.number ?? 0);
    expect(again.status).toBe(200);
    const rest = await read(again);
    expect(rest.whole).toBe(true);
    expect(rest.events.length).toBeGreaterThan(2);
    return [...cut.events, ...rest.events];
  }

  function expectWhole(events: Part['events'], undisturbed: Part): void {
    expect(events.map(({ number }) => number)).toEqual(events.map((_, index) => index + 1));
    expect(textOf(events)).toBe(textOf(undisturbed.events));
    expect(events.at(-1)?.data).toBe('[DONE]');
    expect(JSON.parse(events.at(-2)?.data ?? '')).toMatchObject({ usage: { completion_tokens: REQUEST.max_tokens } });
  }

  it('goes on behind the last event that its client saw, and is the answer of an undisturbed run', { timeout: 120_000 }, async () => {
    const undisturbed = await read(await ask(REQUEST));
    expectWhole(await cutAndResumed(REQUEST, async () => undefined), undisturbed);
  });

  it('goes on like that where it had moved to before', { timeout: 120_000 }, async () => {
    // What was computed in a batch would be so in another one after the move.
    const request = { ...REQUEST, deterministic: true };
    const undisturbed = await read(await ask(request));
    const drained: string[] = [];
    const events = await cutAndResumed(request, async (device) => {
      drained.push(device);
      await grid.client.deviceAction(device, 'drain');
      await waitUntil('it has moved', async () => grid.coordinator.output().includes('generation moves'));
    });
    for (const device of drained) await grid.client.deviceAction(device, 'undrain');
    expectWhole(events, undisturbed);
  });
});
