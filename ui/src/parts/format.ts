/** Numbers, times and names as people read them. An unknown value is a dash, never 0. */

export const DASH = '–';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function count(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? DASH : whole.format(value);
}

/** `1 shard`, `2 shards`, `1,000 shards`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Binary units with one decimal below ten: `512 B`, `3.5 KiB`, `16 GiB`. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let amount = value;
  let unit = 0;
  while (amount >= 1023.5 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit > 0 && amount < 9.95 ? tenth.format(amount) : whole.format(amount)} ${units[unit]}`;
}

/** `840 ms`, `4.1 s`, `11 min`, `3 h 20 min`, `2 d 4 h`. */
export function duration(ms: number): string {
  const value = Math.max(0, ms);
  if (value < SECOND) return `${Math.round(value)} ms`;
  if (value < 9.95 * SECOND) return `${tenth.format(value / SECOND)} s`;
  if (value < 59.5 * SECOND) return `${Math.round(value / SECOND)} s`;
  if (value < 59.5 * MINUTE) return `${Math.round(value / MINUTE)} min`;
  const pair = (big: number, bigName: string, small: number, smallName: string): string => {
    const smalls = Math.round(value / small);
    const rest = smalls % (big / small);
    return `${Math.floor(smalls / (big / small))} ${bigName}${rest === 0 ? '' : ` ${rest} ${smallName}`}`;
  };
  return value < DAY - MINUTE / 2 ? pair(HOUR, 'h', MINUTE, 'min') : pair(DAY, 'd', HOUR, 'h');
}

/** How long ago: `just now`, `40 s ago`, `5 min ago`. A clock that runs behind the grid's reads `just now`. */
export function ago(at: number | null, now: number): string {
  if (at === null) return DASH;
  const age = now - at;
  if (age < 2 * SECOND) return 'just now';
  return age < MINUTE ? `${Math.floor(age / SECOND)} s ago` : `${duration(age)} ago`;
}

/** Local time; with the day when it was not today. */
export function clock(at: number | null, now: number): string {
  if (at === null) return DASH;
  const then = new Date(at);
  const time = then.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  return new Date(now).toDateString() === then.toDateString()
    ? time
    : `${then.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })}, ${time}`;
}

/** First and last four digits of a hash: `7be1…c90d`. */
export function shortHash(hash: string): string {
  return hash.length <= 12 ? hash : `${hash.slice(0, 4)}…${hash.slice(-4)}`;
}

const WORDS = ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine'];

/** A small number as the first word of a sentence. */
export function numberWord(value: number): string {
  return WORDS[value] ?? count(value);
}

export function percent(part: number, total: number): string {
  return total === 0 ? DASH : `${Math.floor((part / total) * 100)} %`;
}
