import { describe, expect, it } from 'vitest';
import { withSystem, type Stage } from '#tests/support/actors.ts';
import { probeActor, type ProbeRef } from '#tests/support/probe-actor.ts';

/** Three actors at the top, the first two linked. */
async function linked(stage: Stage): Promise<{ log: string[]; a: ProbeRef; b: ProbeRef; unlink: () => void }> {
  const log: string[] = [];
  const spawn = (id: string): ProbeRef => stage.system.spawn({ id, restart: 'permanent', actor: probeActor({ log }) });
  const [a, b] = [spawn('a'), spawn('b')];
  spawn('c');
  let unlink = (): void => undefined;
  a.act((context) => {
    unlink = context.link(b);
  });
  await stage.host.settle();
  log.length = 0;
  return { log, a, b, unlink };
}

describe('a link', () => {
  it.each(['a', 'b'] as const)('takes the other along when %s crashes', async (first) => {
    await withSystem(async (stage) => {
      const { log, ...refs } = await linked(stage);
      refs[first].crash('boom');
      await stage.host.advance(200);
      const other = first === 'a' ? 'b' : 'a';
      expect(log.toSorted()).toEqual(['+a', '+b', '-a', '-b']);
      const crashes = stage.takeCrashes();
      expect(crashes).toMatchObject([
        { path: `/${first}`, activity: 'message' },
        { path: `/${other}`, activity: 'link', error: { name: 'LinkedCrash', cause: { message: 'boom' } } },
      ]);
    });
  });

  it('holds for one incarnation', async () => {
    await withSystem(async (stage) => {
      const { log, a } = await linked(stage);
      a.crash('boom');
      await stage.host.advance(200);
      log.length = 0;
      a.crash('again');
      await stage.host.advance(200);
      expect(log).toEqual(['-a', '+a']);
      expect(stage.takeCrashes()).toHaveLength(3);
    });
  });

  it('is undone by a normal end and by whoever made it', async () => {
    await withSystem(async (stage) => {
      const one = await linked(stage);
      one.a.stop();
      await stage.host.advance(200);
      expect(one.log).toEqual(['-a', '+a']);
    });
    await withSystem(async (stage) => {
      const { log, b, unlink } = await linked(stage);
      unlink();
      b.crash('boom');
      await stage.host.advance(200);
      expect(log).toEqual(['-b', '+b']);
      expect(stage.takeCrashes()).toHaveLength(1);
    });
  });

  it('to one that has ended crashes the actor at once', async () => {
    await withSystem(async (stage) => {
      const { log, a, b } = await linked(stage);
      void stage.system.stop(b);
      await stage.host.settle();
      log.length = 0;
      a.act((context) => void context.link(b));
      await stage.host.advance(200);
      expect(log).toEqual(['-a', '+a']);
      expect(stage.takeCrashes()).toMatchObject([{ path: '/a', activity: 'link' }]);
    });
  });
});
