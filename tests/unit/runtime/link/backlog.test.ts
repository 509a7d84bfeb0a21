import { describe, expect, it } from 'vitest';

import { Backlog } from '#runtime/link/backlog.ts';
import type { Lane } from '#runtime/link/lane.ts';

function link(rooms: { [L in Lane]: number }, most = 10) {
  const sent: string[] = [];
  const state = { closed: false };
  const laneOf = (message: string): Lane => (message.startsWith('c') ? 'control' : 'data');
  const backlog = new Backlog<string>({
    send(message) {
      if (state.closed) return 'closed';
      if (rooms[laneOf(message)] === 0) return 'full';
      rooms[laneOf(message)] -= 1;
      sent.push(message);
      return 'accepted';
    },
    lane: laneOf,
    most,
  });
  return { backlog, sent, rooms, state };
}

describe('messages that wait for room in the window', () => {
  it('go in the order of their lane, and a full lane does not hold up the other', () => {
    const { backlog, sent, rooms } = link({ control: 1, data: 1 });
    for (const message of ['d1', 'd2', 'c1', 'c2', 'd3']) expect(backlog.send(message)).toBe('accepted');
    expect(sent).toEqual(['d1', 'c1']);
    expect(backlog.size).toBe(3);
    Object.assign(rooms, { data: 1 });
    backlog.room();
    expect(sent).toEqual(['d1', 'c1', 'd2']);
    // Room that came meanwhile is for those who wait longest.
    Object.assign(rooms, { data: 1 });
    backlog.send('d4');
    expect(sent).not.toContain('d4');
    Object.assign(rooms, { control: 5, data: 5 });
    backlog.room();
    expect(sent).toEqual(['d1', 'c1', 'd2', 'c2', 'd3', 'd4']);
    expect(backlog).toMatchObject({ size: 0, moved: 4 });
  });

  it('tell their sender when the link has them', () => {
    const { backlog, rooms } = link({ control: 1, data: 0 });
    const taken: string[] = [];
    for (const message of ['c1', 'c2']) backlog.send(message, () => taken.push(message));
    expect(taken).toEqual(['c1']);
    rooms.control = 1;
    backlog.room();
    expect(taken).toEqual(['c1', 'c2']);
  });

  it('are so many at most, can be taken back, and go nowhere once the link is closed', () => {
    const { backlog, sent, rooms, state } = link({ control: 0, data: 0 }, 2);
    expect(['c1', 'd1', 'd2'].map((message) => backlog.send(message))).toEqual(['accepted', 'accepted', 'full']);
    expect(backlog.remove((message) => message === 'c1')).toBe(true);
    expect(backlog.remove((message) => message === 'c1')).toBe(false);
    rooms.control = 9;
    state.closed = true;
    backlog.room();
    expect(sent).toEqual([]);
    backlog.clear();
    expect(backlog.size).toBe(0);
    expect(backlog.send('c9')).toBe('closed');
  });
});
