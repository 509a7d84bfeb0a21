import type { Command } from 'commander';

export interface AgentOptions {
  readonly url?: string;
  readonly token?: string;
  readonly name?: string;
  readonly state: string;
  readonly slots?: string;
  readonly models: string[];
  readonly llamaServer?: string;
  readonly upstream: string[];
  readonly modelsDisk: string;
  readonly contextSize: string;
  readonly sequences: string;
  readonly newKey?: boolean;
  readonly tied?: boolean;
  readonly log: string;
}

export function agentCommand(program: Command): void {
  program
    .command('agent')
    .description('lend this machine to a grid: runs until it is stopped')
    .option(
      '--url <url>',
      'address of the grid (or CORPGRID_URL), or of several coordinators with commas between; remembered after the first start',
    )
    .option('--token <token>', 'enrolment token (or CORPGRID_TOKEN); needed at the first start only')
    .option('--name <name>', 'how people see this machine (default: its host name)')
    .option('--state <dir>', 'where key, votes and cache are kept', './agent-state')
    .option('--slots <n>', 'attempts at once; 0 serves models only (default: number of cores)')
    .option('--models <path...>', 'GGUF model files, or folders of them, to serve', [])
    .option('--llama-server <path>', 'compute models with this llama-server instead of the engine that the agent brings')
    .option('--upstream <url...>', 'OpenAI-compatible servers (up to and with /v1) whose models to offer; key in CORPGRID_UPSTREAM_KEY', [])
    .option('--models-disk <gib>', 'disk that model files from the grid may take; 0 takes none', '20')
    .option('--context-size <n>', 'tokens of context per generation', '2048')
    .option('--sequences <n>', 'generations at once per model', '4')
    .option('--new-key', 'replace the key of this machine before it connects; receipts of its earlier work stay good')
    .option('--tied', 'stop when standard input closes, that is when the process that started this one is gone')
    .option('--log <level>', 'debug, info, warn, error or silent', 'info')
    // Loaded only when it is wanted: other commands shall not wait for an inference engine.
    .action(async (options: AgentOptions) => (await import('./run-agent.ts')).runAgent(options));
}
