import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { AnswerReceipt, textDigestOf, tokensDigestOf } from '#actors/contract/answer-receipt.ts';
import { createAnswerSigner } from '#agent/models/answer-signer.ts';
import { inspectModelFile } from '#agent/executors/inference/model-file.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { endWithoutLeak, untilPresent } from '#tests/faults/grid-under-test.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { type Grid, startGrid } from '#tests/support/grid.ts';
import { type Asked, type ScriptedAgent, startScriptedAgent } from '#tests/support/scripted-agent.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { call, newKey, newToken } from './visitors.ts';

const MODEL = 'tiny';
const CONTEXT = 512;
const REQUEST = { model: MODEL, messages: [{ role: 'user', content: 'Tell me about a lighthouse.' }], max_tokens: 12, temperature: 0.9 };

/** What a device says of a model, as its page tells administrators. */
interface Standing {
  readonly app: string;
  readonly strikes: number;
  readonly quarantine: string | null;
}

describe('receipts of answers, with every answer computed again', () => {
  let grid: Grid;
  let key: string;
  let app: string;
  let liar: ScriptedAgent | null = null;

  beforeAll(async () => {
    grid = await startGrid({ environment: { CORPGRID_AUDIT_SHARE: '1' } });
    const file = path.join(grid.folder, `${MODEL}.gguf`);
    writeTinyLlama(file, { contextLength: CONTEXT });
    app = (await inspectModelFile(file)).sha256;
    const options = { slots: 0, models: [file], contextSize: CONTEXT, sequences: 1 };
    const agents = [await grid.startAgent('one', options), await grid.startAgent('two', options), await grid.startAgent('three', options)];
    await untilPresent(
      grid,
      agents.map(({ device }) => device),
    );
    for (const { device } of agents) await grid.client.post(`/api/models/${MODEL}/load`, { device });
    await waitUntil('all replicas are ready', async () => {
      const models = (await grid.client.get('/api/models')) as { replicas: { state: string }[] }[];
      return models.every(({ replicas }) => replicas.length === 3 && replicas.every(({ state }) => state === 'ready'));
    });
    ({ key } = await newKey(grid, 'writers'));
  });
  afterAll(async () => {
    await liar?.close();
    await endWithoutLeak(grid);
  });

  async function ask(more: object = {}): Promise<{ text: string; receipt: string; device: string }> {
    const response = await fetch(`${grid.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify({ ...REQUEST, ...more }),
    });
    expect(response.status).toBe(200);
    const body = (await response.json()) as { choices: { message: { content: string } }[] };
    const { headers } = response;
    return {
      text: body.choices[0]?.message.content ?? '',
      receipt: headers.get('x-corpgrid-receipt') ?? '',
      device: headers.get('x-corpgrid-device') ?? '',
    };
  }

  async function receiptOf(name: string): Promise<AnswerReceipt> {
    return AnswerReceipt.parse((await call(grid.url, 'GET', `/api/receipts/${name}`, { key })).body);
  }

  async function audited(name: string): Promise<AnswerReceipt> {
    let receipt = await receiptOf(name);
    await waitUntil('the answer is audited', async () => {
      receipt = await receiptOf(name);
      return receipt.manifest.audit !== null;
    });
    return receipt;
  }

  async function standingOf(device: string): Promise<Standing | undefined> {
    const { apps } = (await grid.client.get(`/api/devices/${device}/trust`)) as { apps: readonly Standing[] };
    return apps.find((standing) => standing.app === app);
  }

  it('signs an answer, finds it right on another machine, and proves it offline', async () => {
    const answer = await ask();
    const receipt = await audited(answer.receipt);
    expect(receipt.statement).toMatchObject({ device: answer.device, model: app, completionTokens: 12, outcome: 'length' });
    expect(receipt.manifest.audit).toMatchObject({ verdict: 'right' });
    expect(receipt.manifest.audit?.auditors).not.toContain(answer.device);
    const file = path.join(grid.folder, 'receipt.json');
    const text = path.join(grid.folder, 'answer.txt');
    await writeFile(file, JSON.stringify(receipt));
    await writeFile(text, answer.text);
    const good = await grid.corpgrid('verify', file, '--grid-key', grid.gridKey, '--answer', text, '--json');
    expect(JSON.parse(good.stdout)).toMatchObject({ valid: 1, invalid: 0, warnings: [] });
    await writeFile(text, `${answer.text} and more`);
    expect(await grid.corpgrid('verify', file, '--grid-key', grid.gridKey, '--answer', text)).toMatchObject({ code: 1 });
    expect((await grid.corpgrid('verify', file, '--answer', path.join(grid.folder, 'none'))).code).toBe(2);
  });

  it('finds greedy, likely, constrained and penalised answers right, and shows a receipt to nobody else', async () => {
    const asked = [
      { temperature: 0 },
      { temperature: 1, top_p: 0.9, logprobs: true, top_logprobs: 2 },
      { temperature: 1, frequency_penalty: 0.5, presence_penalty: 0.5 },
      { response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'array', items: { type: 'boolean' } } } } },
    ];
    for (const more of asked) {
      const { receipt } = await ask(more);
      expect((await audited(receipt)).manifest.audit?.verdict).toBe('right');
      const stranger = await newKey(grid, 'strangers');
      expect(await call(grid.url, 'GET', `/api/receipts/${receipt}`, { key: stranger.key })).toMatchObject({ status: 404 });
    }
    expect(await call(grid.url, 'GET', '/api/receipts/x', { key })).toMatchObject({ status: 400 });
    for (const { device } of grid.agents) expect((await standingOf(device))?.strikes ?? 0).toBe(0);
  });

  async function startLiar(name: string, lie: (asked: Asked) => void): Promise<ScriptedAgent> {
    const options = { url: grid.url, token: await newToken(grid), name, model: MODEL, sha256: app, contextSize: CONTEXT };
    const started = await startScriptedAgent({ ...options, sequences: 64, features: ['receipts'], script: lie });
    await untilPresent(grid, [started.device]);
    await grid.client.post(`/api/models/${MODEL}/load`, { device: started.device });
    return started;
  }

  /** Says made-up words and signs them, as it should or not. */
  function lies(device: () => string, changes: { signature?: string; text?: string }): (asked: Asked) => void {
    return (asked) => {
      const { message } = asked;
      // Nobody shall be framed here: it does not audit.
      if (message.type === 'compute') return asked.end({ outcome: 'failed', code: 'UNSUPPORTED', reason: 'no', completionTokens: 0 });
      const { type: _type, generation, model: _model, note: _note, receipt: _receipt, ...request } = message;
      const key = { sign: (bytes: Uint8Array) => Buffer.from(asked.sign(bytes), 'hex') };
      const signer = createAnswerSigner({ device: device(), key }, { generation, model: app, request });
      const words = Array.from({ length: 12 }, (_, i) => ` w${i}`);
      asked.tokens(words);
      signer.said(
        words.map((_, i) => i),
        changes.text ?? words.join(''),
      );
      const proof = { prompt: tokensDigestOf([1], sha256), template: textDigestOf('', sha256), engine: 'none' };
      const counts = { promptTokens: 5, completionTokens: 12, retryable: false } as const;
      const signed = signer.sign({ outcome: 'length', ...counts, proof });
      if (signed === null) throw new Error('nothing was signed');
      asked.end({
        outcome: 'length',
        receipt: { ...signed, ...(changes.signature === undefined ? {} : { signature: changes.signature }) },
      });
    };
  }

  async function untilQuarantined(device: string): Promise<string> {
    let why: string | null = null;
    await waitUntil('the liar is in quarantine', async () => {
      // More at once than the others take: some of them go to it.
      await Promise.all(Array.from({ length: 6 }, () => ask()));
      why = (await standingOf(device))?.quarantine ?? null;
      return why !== null;
    });
    return why ?? '';
  }

  it('strikes a device that makes its answers up until it gets no more of the model', async () => {
    const agent = await startLiar('maker', (asked) => lies(() => liar?.device ?? '', {})(asked));
    liar = agent;
    expect(await untilQuarantined(agent.device)).toContain('an answer of it is not the model');
    await waitUntil('the pool knows', async () => {
      const before = agent.asked.length;
      await Promise.all(Array.from({ length: 6 }, () => ask()));
      return agent.asked.length === before;
    });
    for (const { device } of grid.agents) expect((await standingOf(device))?.strikes ?? 0).toBe(0);
    await agent.close();
    liar = null;
  });

  it.each([
    ['forged', { signature: 'ab'.repeat(64) }, 'the signature on its answer is not its own'],
    ['about another text', { text: 'another text' }, 'it signed another text than it sent'],
  ])('shuts a device out at once whose signature is %s', async (name, changes, why) => {
    const agent = await startLiar(name, (asked) => lies(() => liar?.device ?? '', changes)(asked));
    liar = agent;
    expect(await untilQuarantined(agent.device)).toBe(why);
    expect((await standingOf(agent.device))?.strikes).toBe(0);
    await agent.close();
    liar = null;
  });
});
