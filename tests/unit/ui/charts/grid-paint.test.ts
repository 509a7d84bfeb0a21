import { describe, expect, it } from 'vitest';

import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';

import { kindOfState } from '../../../../ui/src/charts/cell-kinds.ts';
import { layoutGrid } from '../../../../ui/src/charts/grid-layout.ts';
import { paintGrid, tallyShards, type Pen } from '../../../../ui/src/charts/grid-paint.ts';
import { readPalette } from '../../../../ui/src/charts/palette.ts';

const palette = readPalette((property) => ` ${property.slice(2)} `);

/** A pen that notes what was filled and stroked in which colour. */
function notingPen() {
  const fills: { colour: unknown; rects: number }[] = [];
  const strokes: unknown[] = [];
  let rects = 0;
  const pen: Pen = {
    fillStyle: '',
    strokeStyle: '',
    lineWidth: 0,
    clearRect() {},
    beginPath: () => void (rects = 0),
    rect: () => void (rects += 1),
    moveTo() {},
    lineTo() {},
    closePath() {},
    fill: () => void fills.push({ colour: pen.fillStyle, rects }),
    stroke: () => void strokes.push(pen.strokeStyle),
    strokeRect: () => void strokes.push(pen.strokeStyle),
  };
  return {
    pen,
    fills,
    strokes,
    filled: (colour: string) => fills.filter((fill) => fill.colour === colour).reduce((sum, fill) => sum + fill.rects, 0),
  };
}

function paint(states: ShardState[], over: { verified?: boolean; selected?: number | null; cursor?: number | null } = {}) {
  const noting = notingPen();
  const layout = layoutGrid({ first: 0, count: states.length, width: 900, height: 380, ratio: 1 });
  paintGrid(noting.pen, {
    layout,
    states: Uint8Array.from(states, (state) => SHARD_STATES.indexOf(state)),
    verified: true,
    palette,
    ratio: 1,
    selected: null,
    cursor: null,
    ...over,
  });
  return { ...noting, layout };
}

describe('paintGrid', () => {
  it('gives each state its colour and pattern', () => {
    const { filled, strokes } = paint(['provisional', 'sealed', 'sealed', 'leased', 'voting', 'failed', 'pending', 'blocked']);
    expect(filled('verdigris')).toBe(3);
    expect(filled('copper')).toBe(1);
    expect(filled('signal')).toBe(1);
    // The waiting cell, and the empty half of the running one.
    expect(filled('line')).toBe(2);
    expect(strokes).toEqual(['verdigris', 'bg', 'line-strong']);
  });

  it('does not paint unverified results in the colour of trust', () => {
    const { filled } = paint(['sealed', 'provisional'], { verified: false });
    expect(filled('verdigris')).toBe(0);
    expect(filled('ink-3')).toBe(2);
  });

  it('needs few fills for many cells', () => {
    const { fills } = paint(
      Array.from({ length: 20_000 }, (_, i): ShardState => (['provisional', 'leased', 'pending'] as const)[i % 3] ?? 'pending'),
    );
    expect(fills.length).toBeLessThan(12);
  });

  it('frames the selected cell and the cursor, once when they are the same', () => {
    expect(paint(['pending', 'pending'], { selected: 0, cursor: 1 }).strokes.filter((colour) => colour === 'ink')).toHaveLength(2);
    expect(paint(['pending', 'pending'], { selected: 0, cursor: 0 }).strokes.filter((colour) => colour === 'ink')).toHaveLength(1);
  });

  it('shows one failed shard among a hundred thousand', () => {
    const states = Array.from({ length: 100_000 }, (): ShardState => 'sealed');
    states[77_777] = 'failed';
    const { filled, layout } = paint(states);
    expect(layout.perCell).toBe(5);
    expect(filled('signal')).toBe(1);
    expect(filled('verdigris')).toBe(layout.cells);
  });
});

describe('tallyShards', () => {
  it('counts a run of shards', () => {
    const states = Uint8Array.from(['sealed', 'provisional', 'leased', 'voting', 'failed', 'pending', 'blocked'], (state) =>
      SHARD_STATES.indexOf(state as ShardState),
    );
    expect(tallyShards(states, 0, 7)).toEqual({ settled: 2, working: 2, failed: 1, waiting: 2 });
    expect(tallyShards(states, 2, 3)).toEqual({ settled: 0, working: 1, failed: 0, waiting: 0 });
  });
});

describe('kindOfState', () => {
  it('knows every state', () => {
    expect(SHARD_STATES.map((state) => kindOfState(state, true))).toEqual([
      'waiting',
      'running',
      'voting',
      'agreed',
      'agreed',
      'failed',
      'blocked',
    ]);
    expect(kindOfState('sealed', false)).toBe('accepted');
  });
});
