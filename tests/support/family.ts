import type { Restart, SupervisionOptions } from '#runtime/kernel/actor.ts';
import type { ActorReport } from '#runtime/kernel/inspect.ts';
import type { AnyRef } from '#runtime/kernel/ref.ts';
import type { Stage } from '#tests/support/actors.ts';
import { probeActor, type Act, type ProbeRef } from '#tests/support/probe-actor.ts';

/** Enough restarts for any test, after 10 ms each. */
export const CALM: SupervisionOptions = { intensity: 100, backoff: { minMs: 10, maxMs: 10, jitter: 0 } };

/** A supervisor, its children, and the log that they share. */
export interface Family {
  readonly log: string[];
  readonly top: ProbeRef;
  /** The member of that name. */
  readonly the: (id: string) => ProbeRef;
}

/** A supervisor `/top` with children, each as `id: restart type`, all running. The log is empty then. */
export async function family(
  stage: Stage,
  supervise: SupervisionOptions,
  members: Readonly<Record<string, Restart>>,
  onStart?: Act,
): Promise<Family> {
  const log: string[] = [];
  const children: Record<string, ProbeRef> = {};
  const top = stage.system.spawn({
    id: 'top',
    restart: 'permanent',
    actor: probeActor({
      log,
      supervise,
      onStart: (context) => {
        for (const [id, restart] of Object.entries(members)) {
          children[id] = context.spawn({ id, restart, actor: probeActor({ log, ...(onStart === undefined ? {} : { onStart }) }) });
        }
      },
    }),
  });
  await stage.host.settle();
  log.length = 0;
  const the = (id: string): ProbeRef => {
    const ref = children[id];
    if (ref === undefined) throw new Error(`no child ${id}`);
    return ref;
  };
  return { log, top, the };
}

/** What the inspector says about one actor. */
export function reportOf(stage: Stage, ref: AnyRef): ActorReport | undefined {
  const search = (report: ActorReport): ActorReport | undefined =>
    report.path === ref.path ? report : report.children.map(search).find((found) => found !== undefined);
  return search(stage.system.inspect());
}
