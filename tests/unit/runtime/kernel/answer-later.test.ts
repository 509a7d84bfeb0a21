import { describe, expect, it } from 'vitest';

import { defineActor, type Reply } from '#runtime/kernel/actor.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';
import { type Stage, withSystem } from '#tests/support/actors.ts';

const Oracle = protocol('oracle', { consult: ask<string, string>(), consultSlowly: ask<string, string>(), misuse: tell(), crash: tell() });

function put({ system }: Stage, replies: Reply<string>[]): Ref<typeof Oracle> {
  return system.spawn({
    id: 'oracle',
    restart: 'permanent',
    actor: defineActor<typeof Oracle>({
      protocol: Oracle,
      start: (context) => ({
        consult: () => context.answerLater((reply) => void replies.push(reply)),
        async consultSlowly() {
          // The ask is in hand until the handler has settled.
          await Promise.resolve();
          return context.answerLater<string>((reply) => void replies.push(reply));
        },
        misuse: () => void context.answerLater(() => undefined),
        crash() {
          throw new Error('the oracle is gone');
        },
      }),
    }),
  });
}

const ASK = { timeoutMs: 1_000 };

describe('an answer that comes later', () => {
  it.each(['consult', 'consultSlowly'] as const)('leaves room for other messages meanwhile (%s)', async (kind) => {
    await withSystem(async (stage) => {
      const replies: Reply<string>[] = [];
      const ref = put(stage, replies);
      const answers = [ref[kind]('a', ASK), ref[kind]('b', { timeoutMs: 700 })];
      await stage.host.settle();
      expect(replies.map(({ timeoutMs }) => timeoutMs)).toEqual([1_000, 700]);
      expect(stage.system.accounting()).toMatchObject({ handled: 2, queued: 0 });
      replies[1]?.resolve('second');
      replies[0]?.reject(new Refusal('NO', 'not this one'));
      // Whatever comes first counts.
      replies[1]?.resolve('third');
      expect(await answers[1]).toBe('second');
      await expect(answers[0]).rejects.toMatchObject({ code: 'NO' });
    });
  });

  it('ends by the deadline when nobody gives it, and may come too late', async () => {
    await withSystem(async (stage) => {
      const replies: Reply<string>[] = [];
      const answer = put(stage, replies).consult('a', ASK);
      const refused = expect(answer).rejects.toMatchObject({ name: 'AskTimeout' });
      await stage.host.advance(1_000);
      await refused;
      replies[0]?.resolve('late');
    });
  });

  it('survives a restart of the one who promised it', async () => {
    await withSystem(async (stage) => {
      const replies: Reply<string>[] = [];
      const ref = put(stage, replies);
      const answer = ref.consult('a', ASK);
      ref.crash();
      await stage.host.settle();
      expect(stage.takeCrashes()).toHaveLength(1);
      replies[0]?.resolve('still');
      expect(await answer).toBe('still');
    });
  });

  it('is for asks only', async () => {
    await withSystem(async (stage) => {
      put(stage, []).misuse();
      await stage.host.settle();
      expect(stage.takeCrashes()).toMatchObject([{ message: 'misuse', error: { name: 'TypeError' } }]);
    });
  });
});
