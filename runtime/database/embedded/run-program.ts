import { execFile } from 'node:child_process';

export interface ProgramResult {
  /** Exit status; null when the program could not be started or a signal ended it. */
  readonly status: number | null;
  readonly stderr: string;
  /** ENOENT, EACCES, EPERM … when it could not be started. */
  readonly code: string | null;
}

export interface ProgramOptions {
  readonly uid?: number;
  readonly gid?: number;
}

/** Runs a short program to its end. Never rejects. */
export function runProgram(command: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  const [program = '', ...args] = command;
  return new Promise((resolve) => {
    execFile(program, args, { ...options, env: serverEnvironment(), windowsHide: true }, (error, _stdout, stderr) => {
      const code = error?.code;
      resolve({
        status: error === null ? 0 : typeof code === 'number' ? code : null,
        stderr,
        code: typeof code === 'string' ? code : null,
      });
    });
  });
}

/** Our environment without what would steer PostgreSQL's programs behind our back, with messages in English. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name) && name !== 'DATABASE_URL');
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}
