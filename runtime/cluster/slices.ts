import type { Host } from '#runtime/kernel/host.ts';

/** A host for an actor system, and the place to hang something on the start of each of the dispatcher's slices. */
export interface SlicedHost {
  readonly host: Host;
  /** Called at the start of each slice, that is at least once in 2,048 turns or 2 ms of work. One listener. */
  onSlice(listener: () => void): void;
}

/**
 * A slice begins where the dispatcher is kicked and where it goes on after it yielded: both go through the scheduler. A process
 * that was frozen thaws in the middle of a slice at worst, so it handles no more than the rest of that slice before it notices.
 */
export function sliceHost(host: Host): SlicedHost {
  let listener = (): void => undefined;
  const sliced =
    (run: () => void): (() => void) =>
    () => {
      listener();
      run();
    };
  return {
    host: {
      clock: host.clock,
      random: () => host.random(),
      scheduler: {
        microtask: (run) => host.scheduler.microtask(sliced(run)),
        yieldThen: (run) => host.scheduler.yieldThen(sliced(run)),
        after: (ms, run) => host.scheduler.after(ms, run),
      },
    },
    onSlice(heard) {
      listener = heard;
    },
  };
}
