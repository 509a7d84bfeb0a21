// The yardstick: what one V8 thread can do at most. Per-actor ring and a global run queue; no fairness, no errors, no bounds.
// With the programs (Savina's names) that every runtime without typed refs runs. `scale` multiplies the messages of a program.
// oxlint-disable unicorn/no-new-array -- taken over as it was when the figures of the plan were measured
import fs from 'node:fs';

class BareRing {
  constructor(size) {
    this.b = new Array(size);
    this.m = size - 1;
    this.h = 0;
    this.t = 0;
  }
  push(x) {
    const n = (this.t + 1) & this.m;
    this.b[this.t] = x;
    this.t = n;
    if (n === this.h) this.grow();
  }
  grow() {
    const c = this.b.length,
      nb = new Array(c * 2);
    for (let i = 0; i < c; i++) nb[i] = this.b[(this.h + i) & this.m];
    this.b = nb;
    this.m = c * 2 - 1;
    this.h = 0;
    this.t = c;
  }
  shift() {
    const x = this.b[this.h];
    this.b[this.h] = undefined;
    this.h = (this.h + 1) & this.m;
    return x;
  }
}
const bareQueue = new BareRing(1024);
let bareDraining = false;
function bareDrain() {
  while (bareQueue.h !== bareQueue.t) {
    const a = bareQueue.shift(),
      q = a.q;
    while (q.h !== q.t) a.f(q.shift());
    a.s = false;
  }
  bareDraining = false;
}
class BareActor {
  constructor() {
    this.f = undefined;
    this.q = new BareRing(4);
    this.s = false;
  }
  tell(m) {
    this.q.push(m);
    if (!this.s) {
      this.s = true;
      bareQueue.push(this);
      if (!bareDraining) {
        bareDraining = true;
        queueMicrotask(bareDrain);
      }
    }
  }
}
export const bare = {
  spawn(make) {
    const a = new BareActor();
    a.f = make(a);
    return a;
  },
  send: (a, m) => a.tell(m),
  stop: (a) => {
    a.f = undefined;
  },
};

let schedstat = -1;
try {
  schedstat = fs.openSync('/proc/self/schedstat', 'r');
} catch {}
const clockBuffer = Buffer.alloc(64);
/** Milliseconds that the main thread was on a CPU. */
export function cpuMs() {
  if (schedstat < 0) {
    const u = process.cpuUsage();
    return (u.user + u.system) / 1e3;
  }
  const n = fs.readSync(schedstat, clockBuffer, 0, 64, 0);
  return Number(clockBuffer.toString('latin1', 0, n).split(' ')[0]) / 1e6;
}

export const programs = {
  pingPong: (R, scale) =>
    new Promise((resolve) => {
      const N = 4_000_000 * scale;
      let ping, pong, t0;
      pong = R.spawn(() => () => {
        R.send(ping, 1);
      });
      ping = R.spawn(() => {
        let n = 0;
        return () => {
          if (++n >= N) resolve({ n: 2 * N, ms: cpuMs() - t0 });
          else R.send(pong, 1);
        };
      });
      t0 = cpuMs();
      R.send(pong, 1);
    }),
  counting: (R, scale) =>
    new Promise((resolve) => {
      const N = 12_000_000 * scale;
      let t0, producer;
      const counter = R.spawn(() => {
        let n = 0;
        return (m) => {
          n += m;
          if (n === N) resolve({ n: N, ms: cpuMs() - t0 });
        };
      });
      producer = R.spawn(() => {
        let left = N;
        return () => {
          const k = Math.min(1000, left);
          for (let i = 0; i < k; i++) R.send(counter, 1);
          left -= k;
          if (left > 0) R.send(producer, 1);
        };
      });
      t0 = cpuMs();
      R.send(producer, 1);
    }),
  forkJoin: (R, scale) =>
    new Promise((resolve) => {
      const K = 60,
        N = 60_000 * scale,
        all = [];
      let done = 0;
      for (let i = 0; i < K; i++)
        all.push(
          R.spawn(() => {
            let n = 0,
              x = 0;
            return (m) => {
              x = Math.sin(37.2 + m + x);
              if (++n === N && ++done === K) resolve({ n: K * N, ms: cpuMs() - t0 });
            };
          }),
        );
      const t0 = cpuMs();
      for (let i = 0; i < N; i++) for (let k = 0; k < K; k++) R.send(all[k], i);
    }),
  ring: (R, scale) =>
    new Promise((resolve) => {
      const K = 100,
        N = 8_000_000 * scale,
        all = [];
      for (let i = 0; i < K; i++) {
        const j = (i + 1) % K;
        all.push(
          R.spawn(() => (m) => {
            if (m === 0) resolve({ n: N, ms: cpuMs() - t0 });
            else R.send(all[j], m - 1);
          }),
        );
      }
      const t0 = cpuMs();
      R.send(all[0], N);
    }),
  big: (R, scale) =>
    new Promise((resolve) => {
      const K = 120,
        N = 40_000 * scale,
        all = [];
      let done = 0;
      for (let i = 0; i < K; i++) {
        let seed = i + 1,
          n = 0;
        all.push(
          R.spawn(() => (m) => {
            if (m < 0) {
              R.send(all[-m - 1], 1e6);
              return;
            }
            if (++n > N) {
              if (++done === K) resolve({ n: 2 * K * N, ms: cpuMs() - t0 });
              return;
            }
            seed = (seed * 1103515245 + 12345) & 0x7fffffff;
            R.send(all[seed % K], -(i + 1));
          }),
        );
      }
      const t0 = cpuMs();
      for (let i = 0; i < K; i++) R.send(all[i], 1e6);
    }),
  spawn: (R, scale) =>
    new Promise((resolve) => {
      const N = 400_000 * scale;
      let done = 0;
      const t0 = cpuMs();
      for (let i = 0; i < N; i++)
        R.send(
          R.spawn((self) => (m) => {
            Math.sin(m);
            R.stop(self);
            if (++done === N) resolve({ n: N, ms: cpuMs() - t0 });
          }),
          i,
        );
    }),
};
