import { describe, expect, it } from 'vitest';

import { defineActor, type ActorDefinition } from '#runtime/kernel/actor.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';
import { type Stage, withSystem } from '#tests/support/actors.ts';

const Door = protocol('door', {
  open: tell(),
  /** Opens by way of a timer, outside any message. */
  openSoon: tell(),
  enter: tell<string>(),
  enterSlowly: tell<string>(),
  knock: ask<string, string>(),
  crash: tell(),
});

/** Takes nobody in before it is open. */
function door(log: string[], capacity = 8): ActorDefinition<typeof Door, void> {
  return defineActor({
    protocol: Door,
    mailbox: { capacity },
    start(context) {
      let isOpen = false;
      const open = (): void => {
        isOpen = true;
        context.unstash();
      };
      return {
        open,
        openSoon: () => void context.after(10, open),
        enter(who) {
          if (!isOpen) context.stash();
          log.push(who);
        },
        async enterSlowly(who) {
          await Promise.resolve();
          if (!isOpen) context.stash();
          log.push(who);
        },
        knock(who) {
          if (!isOpen) context.stash();
          return `come in, ${who}`;
        },
        crash() {
          throw new Error('the door broke');
        },
      };
    },
  });
}

function put(stage: Stage, log: string[], capacity?: number): Ref<typeof Door> {
  return stage.system.spawn({ id: 'door', restart: 'permanent', actor: door(log, capacity), args: undefined });
}

describe('the stash', () => {
  it.each(['open', 'openSoon'] as const)('gives messages back in their order, before those that came later (%s)', async (opening) => {
    await withSystem(async (stage) => {
      const log: string[] = [];
      const ref = put(stage, log);
      ref.enter('a');
      ref.enterSlowly('b');
      ref.enter('c');
      await stage.host.settle();
      expect(log).toEqual([]);
      expect(stage.system.accounting()).toMatchObject({ sent: 3, handled: 0, queued: 3 });
      ref[opening]();
      ref.enter('d');
      await stage.host.advance(20);
      // What came while it was still closed is set aside too, behind the others.
      expect(log).toEqual(['a', 'b', 'c', 'd']);
      expect(stage.system.accounting()).toMatchObject({ sent: 5, handled: 5, queued: 0 });
    });
  });

  it('keeps an ask until it can be answered', async () => {
    await withSystem(async (stage) => {
      const ref = put(stage, []);
      const answer = ref.knock('x', { timeoutMs: 1_000 });
      await stage.host.advance(500);
      ref.open();
      await stage.host.settle();
      expect(await answer).toBe('come in, x');
    });
  });

  it('survives a crash of the actor, in order', async () => {
    await withSystem(async (stage) => {
      const log: string[] = [];
      const ref = put(stage, log);
      ref.enter('a');
      ref.crash();
      ref.enter('b');
      await stage.host.advance(500);
      expect(stage.takeCrashes()).toHaveLength(1);
      ref.open();
      await stage.host.settle();
      expect(log).toEqual(['a', 'b']);
    });
  });

  it('is bounded: one message too many crashes the actor and is a dead letter, the others stay', async () => {
    await withSystem(async (stage) => {
      const log: string[] = [];
      const ref = put(stage, log, 2);
      for (const who of ['a', 'b', 'c']) {
        ref.enter(who);
        await stage.host.settle();
      }
      expect(stage.takeCrashes()).toMatchObject([{ error: { name: 'StashFull' } }]);
      expect(stage.system.deadLetters().counts.crashed).toBe(1);
      await stage.host.advance(500);
      ref.open();
      await stage.host.settle();
      expect(log).toEqual(['a', 'b']);
    });
  });

  it('leaves nothing behind when the actor ends', async () => {
    await withSystem(async (stage) => {
      const ref = put(stage, []);
      ref.enter('a');
      const answer = ref.knock('x', { timeoutMs: 1_000 }).catch((error: unknown) => error);
      await stage.host.settle();
      await stage.system.shutdown();
      expect(await answer).toMatchObject({ name: 'ActorClosed' });
      expect(stage.system.accounting()).toMatchObject({ sent: 2, handled: 0, deadLettered: 2, queued: 0 });
    });
  });
});
