import { describe, expect, it } from 'vitest';

import { MOST_NOTE } from '#actors/contract/generation.ts';
import { openNote, sealNote } from '#actors/generation/generation-note.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';

import { REQUEST, uuid } from './scene.ts';

const key = generateKeyPair();
const body = {
  generation: uuid(1),
  attempt: uuid(2),
  model: 'm',
  tenant: 't',
  apiKey: 'k',
  moves: 1,
  pieces: [{ tokens: [100, 101], text: 'one two' }],
  shown: '{}',
};
const note = sealNote(key, body, REQUEST) ?? '';
const returned = { generation: uuid(2), model: 'm', request: REQUEST, note };

describe('a note about an answer', () => {
  it('comes back as it was given, whatever the answer has come to', () => {
    const { request: _request, ...rest } = openNote(key.publicKey, returned) ?? { request: '' };
    expect(rest).toEqual(body);
    const further = { ...returned, request: { ...REQUEST, resume: { tokens: [100, 101], textLength: 7 } } };
    expect(openNote(key.publicKey, further)).not.toBeNull();
  });

  it.each([
    ['about another attempt', { generation: uuid(3) }],
    ['about another model', { model: 'other' }],
    ['about another request', { request: { ...REQUEST, prompt: 'do something else' } }],
    ['that was changed', { note: note.replace('one two', 'two one') }],
    ['that another grid signed', { note: sealNote(generateKeyPair(), body, REQUEST) ?? '' }],
    ['that is none', { note: 'nonsense' }],
    ['without a signature', { note: JSON.stringify({ body: JSON.parse(note).body as string }) }],
  ])('%s is not believed', (_what, change) => {
    expect(openNote(key.publicKey, { ...returned, ...change })).toBeNull();
  });

  it('is not given away when it is too long, or has text that would not come back', () => {
    expect(sealNote(key, { ...body, pieces: [{ tokens: [], text: 'x'.repeat(MOST_NOTE) }] }, REQUEST)).toBeUndefined();
    expect(sealNote(key, body, { ...REQUEST, prompt: '\ud800' })).toBeUndefined();
  });
});
