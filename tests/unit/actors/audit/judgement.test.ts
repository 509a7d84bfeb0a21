import { describe, expect, it } from 'vitest';

import { disputed, FARTHEST, judge, opinionOn, type Opinion } from '#actors/audit/judgement.ts';

const P = 'ab'.repeat(32);
const prompts = { signed: P, computed: P };
const right = (auditor: string, trusted = false): Opinion => ({ auditor, trusted, right: true, why: 'near' });
const wrong = (auditor: string, trusted = false): Opinion => ({ auditor, trusted, right: false, why: 'far' });

describe('what the gaps of an audit mean', () => {
  it('excuses near ties, and a few of them', () => {
    expect(opinionOn([0, 0, 0.001, 0, 0.0005], 5, prompts)).toMatchObject({ right: true });
  });

  it('excuses neither one place that is off, nor many that are nearly so, nor places that are missing, nor another prompt', () => {
    expect(opinionOn([0, 0.021, 0], 3, prompts)).toMatchObject({ right: false, why: expect.stringContaining('token 1') as string });
    expect(opinionOn([0, 0, 5], 3, prompts)).toMatchObject({ right: false, why: expect.stringContaining('its end') as string });
    expect(
      opinionOn(
        Array.from({ length: 20 }, () => FARTHEST / 2),
        20,
        prompts,
      ),
    ).toMatchObject({ right: false });
    expect(opinionOn([0, 0], 3, prompts)).toMatchObject({ right: false });
    expect(opinionOn([0], 1, { signed: P, computed: undefined })).toMatchObject({ right: false });
  });
});

describe('what follows from opinions', () => {
  it('believes another device that an answer is right, and a trusted one more', () => {
    expect(judge('d', [right('a')])).toMatchObject({ verdict: 'right', lessons: [{ kind: 'voted' }, { device: 'd', kind: 'agreed' }] });
    expect(judge('d', [right('a', true)])?.lessons[1]).toEqual({ device: 'd', kind: 'audited' });
  });

  it('strikes nobody on the word of one that is not trusted', () => {
    expect(judge('d', [wrong('a')])).toBeNull();
    expect(judge('d', [wrong('a', true)])).toMatchObject({
      verdict: 'wrong',
      lessons: [{ kind: 'voted' }, { device: 'd', kind: 'strike' }],
    });
    expect(disputed([wrong('a')])).toMatchObject({ verdict: 'disputed', lessons: [] });
  });

  it('strikes the device that two find wrong, and the auditor that two others do not confirm', () => {
    expect(judge('d', [wrong('a'), wrong('b')])).toMatchObject({ verdict: 'wrong' });
    expect(judge('d', [wrong('a'), right('b')])).toBeNull();
    const framed = judge('d', [wrong('a'), right('b'), right('c')]);
    expect(framed).toMatchObject({ verdict: 'right' });
    expect(framed?.lessons).toContainEqual(expect.objectContaining({ device: 'a', kind: 'strike' }));
    expect(framed?.lessons).not.toContainEqual(expect.objectContaining({ device: 'd', kind: 'strike' }));
    const trusted = judge('d', [wrong('a'), right('core', true)]);
    expect(trusted?.lessons).toContainEqual(expect.objectContaining({ device: 'a', kind: 'strike' }));
    const caught = judge('d', [wrong('a'), right('accomplice'), wrong('c')]);
    expect(caught).toMatchObject({ verdict: 'wrong' });
    expect(caught?.lessons).toContainEqual(expect.objectContaining({ device: 'accomplice', kind: 'strike' }));
  });
});
