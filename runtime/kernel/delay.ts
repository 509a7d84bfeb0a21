import { WheelTimer, type TimerWheel } from '#runtime/kernel/timer-wheel.ts';

/** Calls back once, unless cancelled before. For the kernel's own waiting. */
export class Delay extends WheelTimer {
  readonly #wheel: TimerWheel;
  readonly #run: () => void;

  constructor(wheel: TimerWheel, ms: number, run: () => void) {
    super();
    this.#wheel = wheel;
    this.#run = run;
    wheel.schedule(this, ms);
  }

  cancel(): void {
    this.#wheel.cancel(this);
  }

  override expire(): void {
    this.#run();
  }
}

/** Waits for the work, but not longer than `ms`. Answers whether it was done in time; never throws what the work throws. */
export async function withinTime(wheel: TimerWheel, ms: number, work: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const delay = new Delay(wheel, ms, () => {
    resolve(false);
  });
  const inTime = work.then(
    () => true,
    () => true,
  );
  const answer = await Promise.race([inTime, late]);
  delay.cancel();
  return answer;
}
