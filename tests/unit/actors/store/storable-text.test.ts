import { describe, expect, it } from 'vitest';

import { storableText } from '#actors/store/storable-text.ts';

describe('storableText', () => {
  it('leaves ordinary text alone, whatever its script', () => {
    const text = 'tab\t newline\n quote" ü 漢字 😀 \u0001';
    expect(storableText(text)).toBe(text);
  });

  it('replaces what PostgreSQL has no text for', () => {
    expect(storableText('\0a\0')).toBe('\ufffda\ufffd');
    expect(storableText('\ud83d and \ude00')).toBe('\ufffd and \ufffd');
  });
});
