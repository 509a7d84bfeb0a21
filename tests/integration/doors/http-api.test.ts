import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { JobSummary } from '#actors/contract/live.ts';
import type { Submission } from '#actors/contract/job-spec.ts';
import { followJob } from '#bin/client/follow-job.ts';
import { endWithoutLeak, startAgents } from '#tests/faults/grid-under-test.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';

import { call, newKey, wordCount, type Answered, type Request, type Visitor } from './visitors.ts';

const NOWHERE = '00000000-0000-4000-8000-000000000000';

describe('the HTTP API', () => {
  let grid: Grid;
  let ours: Visitor;
  let theirs: Visitor;

  beforeAll(async () => {
    grid = await startGrid();
    await startAgents(grid, ['only']);
    [ours, theirs] = [await newKey(grid, 'ours'), await newKey(grid, 'theirs')];
  });
  afterAll(() => endWithoutLeak(grid));

  const ask = (method: string, at: string, sent: Request = {}): Promise<Answered> => call(grid.url, method, at, sent);
  const submit = (submission: unknown, key = ours.key): Promise<Answered> => ask('POST', '/api/jobs', { key, body: submission });
  /** Says how large a body will come, and waits for the answer before sending any of it. */
  async function announce(at: string, key: string, bytes: number): Promise<Answered> {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': String(bytes) };
    const sent = request(new URL(at, grid.url), { method: 'POST', headers });
    sent.on('error', () => undefined).flushHeaders();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const body = (await json(answer)) as Answered['body'];
    sent.destroy();
    return { status: answer.statusCode ?? 0, body };
  }
  /** One device and quorum 2: it can never be done. */
  const endless = (): Promise<Submission> => wordCount(grid.client, ['one two', 'three'], 2);

  it.each([
    ['GET', '/api/whoami'],
    ['GET', '/api/jobs'],
    ['POST', '/api/jobs'],
    ['GET', `/api/jobs/${NOWHERE}`],
    ['POST', `/api/jobs/${NOWHERE}/cancel`],
    ['GET', `/api/jobs/${NOWHERE}/receipts`],
    ['GET', `/api/jobs/${NOWHERE}/shards/0/output`],
    ['POST', '/api/objects'],
    ['GET', '/api/devices'],
    ['GET', '/api/cluster'],
    ['POST', '/api/devices/dev-0000000000/revoke'],
    ['POST', '/api/keys'],
    ['POST', '/api/tokens'],
    ['GET', '/api/events'],
    ['GET', '/api/actors'],
    ['GET', '/api/actors/examine?path=/jobs'],
  ])('%s %s: 401 without a key and with a wrong one', async (method, at) => {
    const wrong = `cg_${'x'.repeat(16)}_${'y'.repeat(32)}`;
    for (const sent of [{}, { key: wrong }, { key: 'nonsense' }]) {
      const { status, body } = await ask(method, at, sent);
      expect({ status, code: body.code }).toEqual({ status: 401, code: 'UNAUTHENTICATED' });
      expect(body.fix).toMatch(/key|Bearer/);
    }
  });

  it.each([
    ['GET', '/api/keys'],
    ['POST', '/api/keys'],
    ['POST', '/api/keys/abc/revoke'],
    ['POST', '/api/tokens'],
    ['GET', '/api/events'],
    ['GET', '/api/actors'],
    ['GET', '/api/actors/examine?path=/jobs'],
    ['POST', '/api/devices/dev-0000000000/drain'],
    ['POST', '/api/devices/dev-0000000000/undrain'],
    ['POST', '/api/devices/dev-0000000000/revoke'],
  ])('%s %s: 403 for a submitter', async (method, at) => {
    expect(await ask(method, at, { key: ours.key })).toMatchObject({ status: 403, body: { code: 'FORBIDDEN', fix: expect.any(String) } });
  });

  it('says 404 for another tenant’s job as for one that is not there, whatever is asked of it', async () => {
    const submission = await endless();
    expect((await submit(submission)).status).toBe(201);
    const at = `/api/jobs/${submission.id}`;
    for (const path of ['', '/outputs', '/receipts', '/result', '/shards/0', '/shards/0/output', '/shards/0/receipt']) {
      const stranger = await ask('GET', `${at}${path}`, { key: theirs.key });
      const nobody = await ask('GET', `/api/jobs/${NOWHERE}${path}`, { key: theirs.key });
      expect(stranger, path).toMatchObject({ status: 404, body: { code: 'NOT_FOUND', message: `no job ${submission.id}` } });
      expect({ ...stranger.body, requestId: '' }).toEqual(
        JSON.parse(JSON.stringify({ ...nobody.body, requestId: '' }).replaceAll(NOWHERE, submission.id)),
      );
    }
    for (const action of ['pause', 'resume', 'cancel'])
      expect((await ask('POST', `${at}/${action}`, { key: theirs.key })).status).toBe(404);
    expect((await ask('GET', '/api/jobs', { key: theirs.key })).body).toEqual([]);
    expect(await ask('GET', at, { key: ours.key })).toMatchObject({ status: 200, body: { state: 'running', tenant: 'ours' } });
    await ask('POST', `${at}/cancel`, { key: ours.key });
  });

  it('names the field of a spec that is wrong', async () => {
    const { id, spec } = await endless();
    const wrong: readonly [unknown, string][] = [
      [{ id, spec: { ...spec, quorum: 0 } }, 'spec.quorum'],
      [{ id, spec: { ...spec, name: '' } }, 'spec.name'],
      [{ id, spec: { ...spec, module: { ...spec.module, sha256: 'abc' } } }, 'spec.module.sha256'],
      [{ id, spec: { ...spec, limits: { ...spec.limits, memoryMiB: 1e9 } } }, 'spec.limits.memoryMiB'],
      [{ id, spec: { ...spec, kind: 'docker' } }, 'spec.kind'],
      [{ id: 'seven', spec }, 'id'],
    ];
    for (const [submission, path] of wrong) {
      expect(await submit(submission), path).toMatchObject({ status: 400, body: { code: 'BAD_SPEC', path, message: expect.any(String) } });
    }
    expect((await submit({ id, spec: { ...spec, colour: 'red' } })).body.message).toContain('colour');
    expect((await ask('GET', `/api/jobs/${id}`, { key: ours.key })).status).toBe(404);
  });

  it('says what is wrong with a body that is no JSON, of another type, or too large', async () => {
    const key = ours.key;
    expect(await ask('POST', '/api/jobs', { key, raw: '{"id":' })).toMatchObject({
      status: 400,
      body: { code: 'BAD_REQUEST', message: expect.stringMatching(/JSON/) },
    });
    expect(await ask('POST', '/api/jobs', { key, raw: '' })).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST' } });
    expect(await ask('POST', '/api/jobs', { key, raw: '<job/>', headers: { 'content-type': 'text/xml' } })).toMatchObject({
      status: 415,
      body: { code: 'BAD_REQUEST' },
    });
    expect(await announce('/api/jobs', key, 9 * 1024 * 1024)).toMatchObject({ status: 413, body: { code: 'TOO_LARGE' } });
    expect(await ask('GET', '/api/jobs/seven', { key })).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST', path: 'id' } });
    expect(await ask('GET', '/api/jobs?limit=0', { key })).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST', path: 'limit' } });
    expect(await ask('GET', '/api/nothing', { key })).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
  });

  it('takes no job whose objects it does not have, or has in another size', async () => {
    const { id, spec } = await endless();
    const inputs = 'inputs' in spec.shards ? spec.shards.inputs : [];
    const unknown = { sha256: 'ab'.repeat(32), size: 7 };
    const refused = async (changed: object, path: string): Promise<void> => {
      expect(await submit({ id, spec: { ...spec, ...changed } }), path).toMatchObject({
        status: 422,
        body: { code: 'OBJECT_MISSING', path },
      });
    };
    await refused({ module: unknown }, 'module');
    await refused({ merge: { module: unknown } }, 'merge.module');
    await refused({ shards: { inputs: [...inputs, unknown] } }, 'shards.inputs[2]');
    await refused({ module: { ...spec.module, size: spec.module.size + 1 } }, 'module');
    expect((await ask('GET', `/api/jobs/${id}`, { key: ours.key })).status).toBe(404);
  });

  it('makes one job of a submission that is sent twice, and keeps its id from others', async () => {
    const submission = await endless();
    const answers = await Promise.all([submit(submission), submit(submission), submit(submission)]);
    expect(answers.map(({ status, body }) => [status, body['id']])).toEqual(Array.from({ length: 3 }, () => [201, submission.id]));
    const list = (await ask('GET', '/api/jobs', { key: ours.key })).body as unknown as JobSummary[];
    expect(list.filter((job) => job.id === submission.id)).toHaveLength(1);
    expect(await submit(submission, theirs.key)).toMatchObject({ status: 409, body: { code: 'CONFLICT', path: 'id' } });
    await ask('POST', `/api/jobs/${submission.id}/cancel`, { key: ours.key });
  });

  it('pauses, resumes and cancels, each only when it makes sense', async () => {
    const { id, spec } = await endless();
    await submit({ id, spec });
    const control = (action: string): Promise<Answered> => ask('POST', `/api/jobs/${id}/${action}`, { key: ours.key });
    expect(await control('resume')).toMatchObject({ status: 409, body: { code: 'CONFLICT', fix: expect.any(String) } });
    expect(await control('pause')).toMatchObject({ status: 200, body: { state: 'paused' } });
    expect(await control('pause')).toMatchObject({ status: 409, body: { code: 'CONFLICT' } });
    expect(await control('resume')).toMatchObject({ status: 200, body: { state: 'running' } });
    expect(await control('cancel')).toMatchObject({ status: 200, body: { state: 'cancelled' } });
    expect(await control('cancel')).toMatchObject({ status: 409, body: { code: 'CONFLICT' } });
    expect(await control('resume')).toMatchObject({ status: 409, body: { code: 'CONFLICT' } });
    expect(await ask('GET', `/api/jobs/${id}`, { key: ours.key })).toMatchObject({
      body: { state: 'cancelled', finishedAt: expect.any(Number) },
    });
    expect((await control('explode')).status).toBe(404);
  });

  it('shows a job of quorum 1 as unverified, with one signed vote', async () => {
    const submission = await wordCount(grid.client, ['a b a'], 1);
    await submit(submission);
    const job = await followJob(grid.client, submission.id, () => undefined);
    expect(job).toMatchObject({ state: 'done', quorum: 1, verified: false, votes: 1, counts: { sealed: 1 } });
    const [receipt] = await grid.client.receipts(submission.id);
    expect(receipt?.leaf.votes).toHaveLength(1);
    const output = await fetch(new URL(`/api/jobs/${submission.id}/shards/0/output`, grid.url), {
      headers: { authorization: `Bearer ${ours.key}` },
    });
    // Whatever a program wrote must not run as a page of the grid.
    expect(output.headers.get('content-disposition')).toBe('attachment');
    expect(output.headers.get('content-security-policy')).toContain('sandbox');
    expect((await output.text()).length).toBeGreaterThan(0);
    expect(await ask('GET', `/api/jobs/${submission.id}/result`, { key: ours.key })).toMatchObject({
      status: 409,
      body: { code: 'CONFLICT' },
    });
  });

  it('lets a key in until it is revoked, and shows its secret once', async () => {
    const visitor = await newKey(grid, 'fleeting');
    const { key } = visitor;
    expect(await ask('GET', '/api/whoami', { key })).toMatchObject({ status: 200, body: { tenant: 'fleeting', role: 'submitter' } });
    const list = await ask('GET', '/api/keys', { key: grid.adminKey });
    expect(JSON.stringify(list.body)).toContain(visitor.id);
    expect(JSON.stringify(list.body)).not.toContain(key);
    expect(await ask('POST', `/api/keys/${visitor.id}/revoke`, { key: grid.adminKey })).toMatchObject({
      status: 200,
      body: { revoked: true },
    });
    expect(await ask('GET', '/api/whoami', { key })).toMatchObject({ status: 401, body: { code: 'UNAUTHENTICATED' } });
    expect(await ask('POST', `/api/keys/${visitor.id}/revoke`, { key: grid.adminKey })).toMatchObject({ status: 404 });
    const own = await ask('GET', '/api/keys', { key: grid.adminKey });
    const first = (own.body as unknown as { id: string; name: string }[]).find((row) => row.name === 'first admin');
    expect(await ask('POST', `/api/keys/${first?.id}/revoke`, { key: grid.adminKey })).toMatchObject({ status: 409 });
  });

  it('shows administrators what runs inside it', async () => {
    const { body } = await ask('GET', '/api/actors', { key: grid.adminKey });
    const { tree } = body as unknown as { tree: { children: { path: string; children: { path: string }[] }[] } };
    expect(tree.children.map((child) => child.path)).toEqual(expect.arrayContaining(['/tenants', '/jobs', '/devices', '/placement']));
    const { path: device = '' } = (tree.children.find((child) => child.path === '/devices')?.children ?? [])[0] ?? {};
    const look = async (): Promise<Answered> =>
      ask('GET', `/api/actors/examine?path=${encodeURIComponent(device)}`, { key: grid.adminKey });
    expect(await look()).toMatchObject({ status: 200, body: { report: { path: device }, state: { id: grid.agents[0]?.device } } });
    await ask('GET', '/api/devices', { key: grid.adminKey });
    expect(await look()).toMatchObject({ status: 200 });
    const nobody = await ask('GET', '/api/actors/examine?path=/nobody', { key: grid.adminKey });
    expect(nobody).toMatchObject({ status: 404, body: { code: 'NOT_FOUND', path: 'path' } });
    const cli = await grid.corpgrid('actors');
    expect(cli.stdout).toMatch(/\/placement +placement +\w+ +0\/\d+/);
    expect(cli.stdout).toContain('messages sent');
    expect((await grid.corpgrid('actors', device)).stdout).toContain('sessionEpoch');
  });

  it('stores an object only under its own hash, and only with leave', async () => {
    const bytes = new TextEncoder().encode(`something new ${randomUUID()}`);
    const sha256 = 'cd'.repeat(32);
    const offer = await ask('POST', '/api/objects', { key: ours.key, body: { sha256, size: bytes.length } });
    const { put } = offer.body as unknown as { put: { url: string; headers: Record<string, string> } };
    const lie = await fetch(new URL(put.url, grid.url), { method: 'PUT', headers: put.headers, body: bytes });
    expect([lie.status, ((await lie.json()) as { code: string }).code]).toEqual([422, 'HASH_MISMATCH']);
    const forged = new URL(put.url, grid.url);
    forged.search = forged.search.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    const refused = await fetch(forged, { method: 'PUT', headers: put.headers, body: bytes });
    expect(refused.status).toBe(403);
    await refused.body?.cancel();
    expect(await ask('POST', '/api/objects', { key: ours.key, body: { sha256, size: bytes.length } })).toMatchObject({
      body: { state: 'missing' },
    });
  });
});
