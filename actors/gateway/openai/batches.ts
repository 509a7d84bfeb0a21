import type { BatchResultRow, BatchRow } from '#actors/store/store.ts';
import type { Principal } from '#actors/tenant/tenant.protocol.ts';

import { RateLimited } from './admission.ts';
import { type BatchLine, BatchObject, readLines } from './batch-object.ts';
import { type Call, nowInSeconds, type OpenAiContext, type Whole } from './endpoint.ts';
import { openAiError } from './errors.ts';
import { findFile, readFileBytes, saveFile } from './files.ts';

/**
 * Batches: many requests, answered when there is room.
 *
 *   validating ──▶ in_progress ──all lines answered──▶ finalizing ──▶ completed
 *       └─▶ failed       └─ cancelling ─▶ cancelled      (expired: its window is over; what is answered is handed out)
 *
 * Each line is a shard of the work: its answer is in the store once, under the line's number, before the next state is. A coordinator that
 * starts finds the open batches there, skips the lines that have answers, and goes on.
 */

/** Lines of one batch that are asked at once; the model's queue keeps keys fair beyond that. */
const AT_ONCE = 32;
const WRITE_EVERY = 50;
const TRIES = 4;
/** After a start the devices that offer a model come back one by one: so long a model that is not there may still come. */
const FLEET_BACK_MS = 60_000;
const FLEET_AGAIN_MS = 1_000;

export type Endpoints = Readonly<Record<string, (context: OpenAiContext, call: Call) => Promise<Whole>>>;

interface Running {
  batch: BatchObject;
  cancelled: boolean;
  readonly current: Set<Whole>;
}

export class Batches {
  readonly #context: OpenAiContext;
  readonly #endpoints: Endpoints;
  readonly #running = new Map<string, Running>();
  #closing = false;
  #fleetBackUntil = 0;

  constructor(context: OpenAiContext, endpoints: Endpoints) {
    this.#context = context;
    this.#endpoints = endpoints;
  }

  serves(endpoint: string): boolean {
    return Object.hasOwn(this.#endpoints, endpoint);
  }

  /** Goes on with what a coordinator before this one began. */
  async resume(): Promise<void> {
    const rows = await this.#context.args.services.store.openBatches();
    this.#fleetBackUntil = this.#context.args.host.clock.now() + FLEET_BACK_MS;
    for (const row of rows) this.start(row);
  }

  start(row: BatchRow): void {
    const running: Running = { batch: parseBatch(row), cancelled: false, current: new Set() };
    running.cancelled = running.batch.status === 'cancelling';
    this.#running.set(row.id, running);
    void this.#run(row, running)
      .catch((error: unknown) => {
        if (!this.#closing) this.#context.args.services.log.error({ batch: row.id, error }, 'batch stopped; it goes on at the next start');
      })
      .finally(() => this.#running.delete(row.id));
  }

  /** The batch as it will be shown; null when it is not running here. */
  async cancel(row: BatchRow): Promise<BatchObject | null> {
    const running = this.#running.get(row.id);
    if (running === undefined) return null;
    running.cancelled = true;
    running.batch = { ...running.batch, status: 'cancelling', cancelling_at: nowInSeconds(this.#context) };
    await this.#save(row, running.batch);
    for (const whole of running.current) whole.cancel();
    return running.batch;
  }

  /** The newest counts, if it is running here. */
  current(id: string): BatchObject | null {
    return this.#running.get(id)?.batch ?? null;
  }

  close(): void {
    this.#closing = true;
    for (const { current } of this.#running.values()) for (const whole of current) whole.cancel();
  }

  async #save(row: BatchRow, batch: BatchObject): Promise<void> {
    const open = ['validating', 'in_progress', 'finalizing', 'cancelling'].includes(batch.status);
    await this.#context.args.services.store.saveBatch({ ...row, open, body: JSON.stringify(batch) });
  }

  async #run(row: BatchRow, running: Running): Promise<void> {
    const input = await findFile(this.#context, running.batch.input_file_id, row.tenant);
    const { lines, errors } = readLines((await readFileBytes(this.#context, input)).toString('utf8'), running.batch.endpoint);
    const now = nowInSeconds(this.#context);
    if (errors.length > 0) {
      running.batch = { ...running.batch, status: 'failed', failed_at: now, errors: { object: 'list', data: errors } };
      return this.#save(row, running.batch);
    }
    const { store } = this.#context.args.services;
    const done = await store.batchResults(row.id);
    const failed = done.filter((result) => result.failed).length;
    const counts = { total: lines.length, completed: done.length - failed, failed };
    const status = running.cancelled ? running.batch.status : 'in_progress';
    running.batch = { ...running.batch, status, in_progress_at: running.batch.in_progress_at ?? now, request_counts: counts };
    await this.#save(row, running.batch);
    await this.#answer(row, running, lines, new Set(done.map(({ line }) => line)));
    if (!this.#closing) await this.#finish(row, running);
  }

  /** Answers what has no answer yet, some at once. */
  async #answer(row: BatchRow, running: Running, lines: readonly BatchLine[], done: ReadonlySet<number>): Promise<void> {
    const { store } = this.#context.args.services;
    // One iterator for all workers: each line is taken once.
    const open = Array.from(lines, (_, line) => line)
      .filter((line) => !done.has(line))
      .values();
    let unwritten: BatchResultRow[] = [];
    const write = async (): Promise<void> => {
      const results = unwritten;
      unwritten = [];
      await store.recordBatchResults(row.id, results);
    };
    const worker = async (): Promise<void> => {
      for (const line of open) {
        if (running.cancelled || this.#closing || this.#isLate(running.batch)) return;
        const asked = lines[line];
        if (asked === undefined) continue;
        const result = await this.#line(row, running, asked);
        if (result === null) return;
        const { completed, failed, total } = running.batch.request_counts;
        const counts = { total, completed: completed + (result.failed ? 0 : 1), failed: failed + (result.failed ? 1 : 0) };
        running.batch = { ...running.batch, request_counts: counts };
        unwritten.push({ line, ...result });
        if (unwritten.length >= WRITE_EVERY) await write();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await write();
  }

  #isLate({ expires_at: expiresAt }: BatchObject): boolean {
    return expiresAt !== null && nowInSeconds(this.#context) >= expiresAt;
  }

  /** Null: it was broken off, and has no answer. */
  async #line(row: BatchRow, running: Running, { custom_id: customId, body }: BatchLine): Promise<Omit<BatchResultRow, 'line'> | null> {
    const { randomId } = this.#context.args;
    const by: Principal = { keyId: row.apiKey, tenant: row.tenant, name: row.id, role: 'submitter' };
    for (let attempt = 1; ; attempt++) {
      const requestId = randomId();
      const answer = await this.#ask(running, { by, body, requestId });
      if (running.cancelled || this.#closing) return null;
      if (answer.status === 404 && this.#context.args.host.clock.now() < this.#fleetBackUntil) {
        attempt -= 1;
        await this.#pause(FLEET_AGAIN_MS);
        continue;
      }
      const later = answer.status === 429 || answer.status === 503;
      if (later && attempt < TRIES && !this.#isLate(running.batch)) {
        await this.#pause(Math.min(60_000, answer.retryAfterMs ?? 500 * 2 ** attempt));
        continue;
      }
      const failed = answer.status !== 200;
      const response = { status_code: answer.status, request_id: requestId, body: answer.body };
      return { failed, body: JSON.stringify({ id: `batch_req_${randomId()}`, custom_id: customId, response, error: null }) };
    }
  }

  async #ask(running: Running, call: Call): Promise<{ status: number; body: object; retryAfterMs?: number }> {
    try {
      const whole = await this.#endpoints[running.batch.endpoint]?.(this.#context, call);
      if (whole === undefined) throw new Error(`nothing serves ${running.batch.endpoint}`);
      running.current.add(whole);
      if (running.cancelled || this.#closing) whole.cancel();
      try {
        return await whole.over;
      } finally {
        running.current.delete(whole);
      }
    } catch (error) {
      const retry = error instanceof RateLimited ? { retryAfterMs: error.admission.retryAfterMs } : {};
      return { ...openAiError(error, call.requestId), ...retry };
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#context.args.host.scheduler.after(ms, resolve);
    });
  }

  async #finish(row: BatchRow, running: Running): Promise<void> {
    const { store } = this.#context.args.services;
    const finalizing = nowInSeconds(this.#context);
    if (!running.cancelled) running.batch = { ...running.batch, status: 'finalizing', finalizing_at: finalizing };
    await this.#save(row, running.batch);
    const results = await store.batchResults(row.id);
    const fileOf = async (failed: boolean, name: string): Promise<string | null> => {
      const chosen = results.filter((result) => result.failed === failed);
      if (chosen.length === 0) return null;
      const bytes = Buffer.from(chosen.map(({ body }) => `${body}\n`).join(''));
      return (await saveFile(this.#context, { tenant: row.tenant, purpose: 'batch_output', filename: `${row.id}_${name}.jsonl`, bytes }))
        .id;
    };
    const now = nowInSeconds(this.#context);
    const files = { output_file_id: await fileOf(false, 'output'), error_file_id: await fileOf(true, 'error') };
    const complete = results.length === running.batch.request_counts.total;
    const end = running.cancelled
      ? ({ status: 'cancelled', cancelled_at: now } as const)
      : complete
        ? ({ status: 'completed', completed_at: now } as const)
        : ({ status: 'expired', expired_at: now } as const);
    running.batch = { ...running.batch, ...files, ...end };
    await this.#save(row, running.batch);
  }
}

export function parseBatch(row: BatchRow): BatchObject {
  return BatchObject.parse(JSON.parse(row.body));
}
