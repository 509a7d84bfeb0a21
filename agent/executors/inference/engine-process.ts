import type { FromHost, ToHost } from './host-protocol.ts';

/**
 * The engine port: what computes answers, as `createInferenceHost` drives it. It takes one `load`, then generations, and says what
 * becomes of them in the words of host-protocol.ts. It may be a process of this machine or a server somewhere else.
 *
 * Three implementations: `forkHost` (node-llama-cpp in a process of its own), and over `serveEngine` a llama-server and any
 * OpenAI-compatible upstream.
 */
export interface EngineProcess {
  /** Undefined for an engine that is no process of this machine. */
  readonly pid: number | undefined;
  send(message: ToHost): void;
  /** Ends it without asking it; `onExit` follows. */
  kill(): void;
}

/** What the agent notices of an engine: its messages and its end. */
export interface EngineEvents {
  onMessage(message: FromHost): void;
  /** It said something that no engine says; it should be killed. */
  onNonsense(reason: string): void;
  /** A line that it wrote to its output. */
  onLine(line: string): void;
  /** It is gone, however that came. Nothing follows. `reason` says how, and the last line it wrote. */
  onExit(reason: string): void;
}

export type StartEngine = (events: EngineEvents) => EngineProcess;
