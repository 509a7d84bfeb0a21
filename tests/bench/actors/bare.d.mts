/** What a program needs of a runtime: actors with one function each, and messages that are numbers. */
export interface Runtime<A> {
  spawn(make: (self: A) => (message: number) => void): A;
  send(actor: A, message: number): void;
  stop(actor: A): void;
}

/** So many messages (or actors) in so many milliseconds of the main thread's CPU time. */
export interface Run {
  readonly n: number;
  readonly ms: number;
}

export type ProgramName = 'pingPong' | 'counting' | 'forkJoin' | 'ring' | 'big' | 'spawn';

export const bare: Runtime<unknown>;
export const programs: Readonly<Record<ProgramName, <A>(runtime: Runtime<A>, scale: number) => Promise<Run>>>;
export function cpuMs(): number;
