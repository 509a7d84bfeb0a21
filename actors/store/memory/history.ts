import { CALM_EVENTS, type HistoryRow, type HistoryVerbs } from '../history.ts';
import { attemptsOfShard, type MemoryAttempt, type Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

function happened({ fence, index, device, leasedAt, endedAt, state, reason }: MemoryAttempt): HistoryRow[] {
  const began: HistoryRow = { at: leasedAt, index, device, fence, event: 'leased', reason: null };
  return endedAt === null ? [began] : [began, { at: endedAt, index, device, fence, event: state, reason }];
}

const newestFirst = (a: HistoryRow, b: HistoryRow): number => b.at - a.at || b.fence.seq - a.fence.seq || (a.event < b.event ? 1 : -1);

export function historyVerbs(connection: Connection, tables: Tables): HistoryVerbs {
  return {
    historyOf: (id, { index, limit, trouble }) =>
      connection.read('historyOf', () => {
        const job = tables.jobs.get(id);
        if (job === undefined) return [];
        const attempts = job.shards.flatMap((shard) => attemptsOfShard(tables, shard)).flatMap(happened);
        const refused = job.votes.flatMap(({ at, index: shard, device, fence, refusal }): HistoryRow[] =>
          refusal === null ? [] : [{ at, index: shard, device, fence, event: 'vote refused', reason: refusal }],
        );
        return [...attempts, ...refused]
          .filter((row) => (index === null || row.index === index) && !(trouble && CALM_EVENTS.includes(row.event)))
          .sort(newestFirst)
          .slice(0, limit);
      }),
  };
}
