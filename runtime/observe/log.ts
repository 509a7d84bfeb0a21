import { pino } from 'pino';

/** A logger: the object's fields first, then a sentence. Keys, tokens and request bodies never go into a log. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: object): Log;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** One JSON object per line on stderr, so that stdout stays what a command promises. */
export function createLog(name: string, level: LogLevel): Log {
  return pino(
    {
      name,
      level,
      base: { name },
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
      redact: ['key', 'token', 'authorization', '*.key', '*.token', '*.authorization'],
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
