import { connectSql, type SqlClient } from '#runtime/database/sql-client.ts';

const CONNECT_MS = 10_000;
/** About what one small row of ours is. */
const INSERT = `insert into bench_commits.rows (t) values ('${'x'.repeat(80)}')`;

/** What this disk and this server can do: durable one-row commits, on the very server that the grid uses. */
export interface CommitRate {
  /** Commits per second of that many connections, each waiting for its own commit. At most the number it was opened with. */
  measure(connections: number, seconds: number): Promise<number>;
  close(): Promise<void>;
}

export async function openCommitRate(url: string, connections: number): Promise<CommitRate> {
  const clients: SqlClient[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
  };
  try {
    for (let n = 0; n < connections; n++) clients.push(await connectSql(url, CONNECT_MS));
    const [first] = clients;
    if (first === undefined) throw new Error('no connection to measure with');
    // A server that does not wait for its disk would make the ratio a lie.
    for (const setting of ['fsync', 'synchronous_commit']) {
      const [row] = await first.query<Record<string, string>>(`show ${setting}`);
      if (row?.[setting] !== 'on') throw new Error(`${setting} is ${row?.[setting]}: commits would not be durable`);
    }
    await first.query('create schema bench_commits; create table bench_commits.rows (id bigserial primary key, t text)');
    return {
      async measure(wanted, seconds) {
        const started = performance.now();
        const end = started + seconds * 1_000;
        let commits = 0;
        await Promise.all(
          clients.slice(0, wanted).map(async (client) => {
            while (performance.now() < end) {
              await client.query(INSERT);
              commits += 1;
            }
          }),
        );
        return commits / ((performance.now() - started) / 1_000);
      },
      async close() {
        await first.query('drop schema bench_commits cascade');
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
