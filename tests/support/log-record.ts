/** A log that keeps what is said, for a test to read. */
export interface LogRecord {
  readonly lines: readonly string[];
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export function logRecord(): LogRecord {
  const lines: string[] = [];
  const say = (level: string) => (fields: object, text: string) => void lines.push(`${level} ${text} ${JSON.stringify(fields)}`);
  return { lines, debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
}
