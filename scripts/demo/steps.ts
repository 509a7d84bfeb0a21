/** Tells what the demo does while it does it: people read stderr when stdout carries the report. */
export interface Steps {
  readonly step: <T>(what: string, work: (note: (text: string) => void) => Promise<T>) => Promise<T>;
}

export function createSteps(write: (text: string) => void): Steps {
  return {
    async step(what, work) {
      const started = performance.now();
      write(`· ${what} ...\n`);
      const notes: string[] = [];
      const result = await work((text) => void notes.push(text));
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      write(`  done in ${seconds} s${notes.length === 0 ? '' : `: ${notes.join('; ')}`}\n`);
      return result;
    },
  };
}
