import type { Command } from 'commander';

import { say, sayJson, sayTable } from '#bin/client/print.ts';
import type { ActorReport, Examination } from '#runtime/kernel/inspect.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, type GridOptions } from './settings.ts';

interface Actors {
  readonly tree: ActorReport;
  readonly accounting: Readonly<Record<'sent' | 'handled' | 'deadLettered' | 'queued' | 'lost', number>>;
  readonly deadLetters: { readonly counts: Readonly<Record<string, number>> };
}

function* walk(actor: ActorReport): Generator<ActorReport> {
  yield actor;
  for (const child of actor.children) yield* walk(child);
}

function seconds(ms: number | undefined): string | null {
  return ms === undefined ? null : `${(ms / 1000).toFixed(1)} s`;
}

function sayTree({ tree, accounting, deadLetters }: Actors): void {
  sayTable(
    ['ACTOR', 'PROTOCOL', 'STATE', 'QUEUE', 'HANDLED', 'RESTARTS', 'AGAIN IN', 'LAST ERROR'],
    Array.from(walk(tree), (a) => [
      a.path,
      a.protocol,
      a.state,
      `${a.mailbox.depth}/${a.mailbox.capacity}`,
      a.handled,
      a.restarts,
      seconds(a.restartsInMs),
      a.lastError ?? null,
    ]),
  );
  const dead = Object.entries(deadLetters.counts).filter(([, count]) => count > 0);
  const why = dead.length === 0 ? '' : ` (${dead.map(([reason, count]) => `${reason} ${count}`).join(', ')})`;
  say(
    `${accounting.sent} messages sent, ${accounting.handled} handled, ${accounting.queued} queued, ${accounting.deadLettered} dead letters${why}`,
  );
}

function sayOne({ report, state, recent }: Examination): void {
  say(`${report.path}: ${report.state}, ${report.mailbox.depth} of ${report.mailbox.capacity} messages wait, ${report.restarts} restarts`);
  if (report.lastError !== undefined) say(`last error: ${report.lastError}`);
  if (state !== undefined) say(JSON.stringify(state, null, 2));
  if (recent.length === 0) return say('its messages are recorded from now on, for a minute: look again');
  sayTable(
    ['AT', 'MESSAGE'],
    recent.map(({ at, message }) => [new Date(at).toISOString(), message]),
  );
}

/** What runs inside a coordinator, for those who run it. */
export function actorsCommand(program: Command): void {
  withGrid(
    program.command('actors').argument('[path]', 'one of them').description('the actors of the coordinator that answers, or one of them'),
  ).action(async (path: string | undefined, options: GridOptions) => {
    const client = clientOf(options);
    if (path === undefined) {
      const actors = (await client.get('/api/actors')) as Actors;
      return options.json ? sayJson(actors) : sayTree(actors);
    }
    const one = (await client.get(`/api/actors/examine?path=${encodeURIComponent(path)}`)) as Examination;
    return options.json ? sayJson(one) : sayOne(one);
  });
}
