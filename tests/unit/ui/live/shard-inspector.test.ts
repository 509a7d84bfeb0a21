import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import { detailOf, inventDevice, inventJob, receiptOf, type InventedJob } from '#tests/support/invented-jobs.ts';
import { manualTiming, type ManualTiming } from '#tests/support/manual-timing.ts';
import { scriptedSocket, type ScriptedSocket } from '#tests/support/scripted-socket.ts';

import { GridProblem } from '../../../../ui/src/live/problem.ts';
import { inspectShard, type ShardInspector } from '../../../../ui/src/live/shard-inspector.ts';
import { checkReceipt } from '../../../../ui/src/worker/receipt-check.ts';

const devices = [0, 1, 2, 3].map((n) => inventDevice(n));
const jobWith = (state: ShardState): InventedJob => inventJob({ name: 'inspected', shards: 3, devices, shardState: () => state });
const byte = (state: ShardState): number => SHARD_STATES.indexOf(state);

describe('inspectShard', () => {
  let socket: ScriptedSocket;
  let timing: ManualTiming;
  let inspector: ShardInspector;
  let receipt: (shard: number) => Promise<unknown>;
  let fetched: number[];
  const first = () => {
    const [request] = socket.open;
    if (!request) throw new Error('nothing was asked');
    return request;
  };
  const untilProof = async (phase: string): Promise<void> => {
    for (let turn = 0; turn < 50 && inspector.view.get().proof.phase !== phase; turn++) await Promise.resolve();
    expect(inspector.view.get().proof.phase).toBe(phase);
  };

  beforeEach(() => {
    socket = scriptedSocket();
    timing = manualTiming();
    fetched = [];
    receipt = async () => null;
    const http = {
      receipt: (_: string, shard: number) => {
        fetched.push(shard);
        return receipt(shard);
      },
    };
    inspector = inspectShard({
      socket,
      timing,
      http,
      verify: async (raw, claim) => checkReceipt(raw, claim),
      job: jobWith('pending').summary.id,
    });
  });
  afterEach(() => {
    inspector.close();
    expect(timing.waiting).toBe(0);
  });

  it('asks for the chosen shard once', async () => {
    inspector.choose(1);
    inspector.choose(1);
    expect(socket.open).toHaveLength(1);
    expect(inspector.view.get().phase).toBe('loading');
    await first().answer(detailOf(jobWith('voting'), 1));
    expect(inspector.view.get()).toMatchObject({ phase: 'ready', detail: { index: 1, state: 'voting' }, proof: { phase: 'recorded' } });
    expect(fetched).toEqual([]);
  });

  it('asks again when the state of the shard moves, and only then', async () => {
    inspector.choose(0);
    await first().answer(detailOf(jobWith('provisional'), 0));
    inspector.touch(byte('provisional'), 2);
    inspector.touch(byte('provisional'), 9);
    expect(socket.open).toHaveLength(0);
    inspector.touch(byte('sealed'), 9);
    expect(socket.open).toHaveLength(1);
  });

  it('asks at most once a second while votes come in and the shard is open', async () => {
    inspector.choose(0);
    await first().answer(detailOf(jobWith('voting'), 0));
    for (let votes = 1; votes < 20; votes++) inspector.touch(byte('voting'), votes);
    expect(socket.open).toHaveLength(0);
    timing.advance(1_000);
    expect(socket.open).toHaveLength(1);
  });

  it('verifies the receipt of a sealed shard', async () => {
    const job = jobWith('sealed');
    receipt = async (shard) => receiptOf(job, shard);
    inspector.choose(2);
    await first().answer(detailOf(job, 2));
    await untilProof('checked');
    expect(inspector.view.get().proof).toMatchObject({ check: { valid: true, reasons: [], votes: [{ valid: true }, { valid: true }] } });
  });

  it('is not content with a sound receipt of another shard', async () => {
    const job = jobWith('sealed');
    receipt = async () => receiptOf(job, 1);
    inspector.choose(2);
    await first().answer(detailOf(job, 2));
    await untilProof('checked');
    expect(inspector.view.get().proof).toMatchObject({ check: { valid: false, reasons: ['the receipt is about another shard'] } });
  });

  it('calls signatures recorded while there is no receipt', async () => {
    inspector.choose(0);
    await first().answer(detailOf(jobWith('sealed'), 0));
    await untilProof('recorded');
    expect(fetched).toEqual([0]);
  });

  it('says so when the receipt cannot be fetched', async () => {
    receipt = async () => {
      throw new GridProblem({ code: 'BUSY', message: 'later' });
    };
    inspector.choose(0);
    await first().answer(detailOf(jobWith('sealed'), 0));
    await untilProof('unchecked');
    expect(inspector.view.get().proof).toMatchObject({ problem: { code: 'BUSY' } });
  });

  it('drops an answer about a shard that is not chosen any more', async () => {
    inspector.choose(0);
    const old = first();
    inspector.choose(1);
    await old.answer(detailOf(jobWith('voting'), 0));
    expect(inspector.view.get()).toMatchObject({ phase: 'loading', index: 1, detail: null });
  });

  it('fails with the words of the grid, and shows nothing when nothing is chosen', async () => {
    inspector.choose(0);
    await first().fail(new GridProblem({ code: 'NOT_FOUND', message: 'no shard 0' }));
    expect(inspector.view.get()).toMatchObject({ phase: 'failed', problem: { message: 'no shard 0' } });
    inspector.choose(null);
    expect(inspector.view.get()).toMatchObject({ phase: 'none', index: null });
  });
});
