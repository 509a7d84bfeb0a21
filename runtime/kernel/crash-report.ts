/** What an actor was doing. */
export type Activity = 'start' | 'message' | 'timer' | 'watch' | 'pipe' | 'cleanup' | 'supervision' | 'link' | 'inspection';

/**
 * What the supervisor made of it: started the actor again (perhaps others with it), let it end, or took the failure for its own,
 * because there were too many within the period.
 */
export type CrashOutcome = 'restart' | 'stop' | 'escalate';

export interface CrashReport {
  readonly path: string;
  readonly protocol: string;
  readonly error: unknown;
  readonly activity: Activity;
  /** Which message was being handled. */
  readonly message?: string;
  readonly outcome: CrashOutcome;
  /** Restarts by this actor's supervisor within its period, this one included. */
  readonly restartsInPeriod: number;
  /** How long the supervisor waits before it starts the actor again. */
  readonly delayMs?: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}
