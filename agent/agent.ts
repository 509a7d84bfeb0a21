import { createHash } from 'node:crypto';
import { access, constants, readdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import { WebSocket } from 'ws';

import { laneOfReport } from '#actors/contract/agent-lanes.ts';
import { ToAgent, type FromAgent } from '#actors/contract/agent-link.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import { attemptActor } from '#agent/attempt/attempt.actor.ts';
import type { StartEngine } from '#agent/executors/inference/engine-process.ts';
import { inspectModelFile, type ModelFile } from '#agent/executors/inference/model-file.ts';
import { llamaServer } from '#agent/executors/served/llama-server.ts';
import { upstream, upstreamModels } from '#agent/executors/served/upstream.ts';
import { createWasmExecutor } from '#agent/executors/wasm/wasm-executor.ts';
import { ModelFiles } from '#agent/models/model-files.ts';
import { modelsActor, type OfferedModel, type OfferedUpstream } from '#agent/models/models.actor.ts';
import { enrol, readMembership, writeMembership, type Membership } from '#agent/session/enrol.ts';
import { openEpochs } from '#agent/session/epochs.ts';
import { openJournal } from '#agent/session/journal.ts';
import { sessionActor } from '#agent/session/session.actor.ts';
import { rotateKey } from '#agent/session/rotate-key.ts';
import { openStateFolder } from '#agent/session/state-folder.ts';
import { readCapabilities } from '#agent/telemetry/capabilities.ts';
import { readVitals } from '#agent/telemetry/vitals.ts';
import { GridError } from '#runtime/errors.ts';
import { realHost } from '#runtime/host.ts';
import { loadOrCreateKey, type KeyPair } from '#runtime/identity/keys.ts';
import type { Host } from '#runtime/kernel/host.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import { AGENT_LINK_LIMITS } from '#actors/contract/agent-limits.ts';
import { createLinkClient } from '#runtime/link/client.ts';
import { largestFrame } from '#runtime/link/limits.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';
import type { Log } from '#runtime/observe/log.ts';

export interface AgentOptions {
  readonly stateFolder: string;
  /** Address of the grid; needed at the first start, afterwards remembered. */
  readonly url: string | undefined;
  /** Addresses of other coordinators of the same grid. */
  readonly more?: readonly string[];
  /** Enrolment token; needed at the first start only. */
  readonly token: string | undefined;
  readonly name: string | undefined;
  readonly slots: number | undefined;
  /** GGUF files, or folders of them, to offer. */
  readonly models: readonly string[];
  /** A llama-server program that computes the models of files instead of the agent's own engine. */
  readonly llamaServer?: string | undefined;
  /** Addresses, up to and with `/v1`, of OpenAI-compatible servers whose models are offered too. */
  readonly upstreams?: readonly string[];
  readonly upstreamKey?: string | undefined;
  /** Disk that model files from the grid may take; 0 takes none. */
  readonly modelsDiskBytes: number;
  readonly contextSize: number;
  readonly sequences: number;
  readonly version: string;
  /** Replace the key of this machine before it connects. */
  readonly newKey?: boolean;
  readonly log: Log;
  /** Where /sys lies; a test gives a made-up tree. */
  readonly systemRoot?: string | undefined;
  /** The grid refused this device for good, or the link opened or was lost. */
  readonly onRefused: (reason: string) => void;
  readonly onState: (connected: boolean) => void;
}

export interface Agent {
  readonly device: string;
  readonly name: string;
  stop(): Promise<void>;
}

const MAX_PAYLOAD = largestFrame();

/** The composition root of one machine's side. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { log } = options;
  const host = realHost();
  const folder = await openStateFolder(options.stateFolder);
  let joined = false;
  try {
    let key = loadOrCreateKey(folder.keys, 'device');
    // Models first: a token that is spent cannot be had back.
    const modelFolder = path.join(folder.root, 'models');
    const fetched = new ModelFiles({ folder: modelFolder, quotaBytes: 0, inUse: () => new Set() });
    const models = [...(await readModels(options)), ...(await fetched.list()), ...(await readUpstreams(options, host))];
    const membership = await join(folder.root, key, options);
    joined = true;
    const journal = await openJournal(folder.root, log, { clock: host.clock });
    key = await rotateKey({
      folder: folder.keys,
      key,
      membership,
      unsettled: journal.pending().length,
      wanted: options.newKey === true,
      log,
    });
    const capabilities = readCapabilities({
      version: options.version,
      slots: options.slots,
      models,
      takesModels: options.modelsDiskBytes > 0,
      sequences: options.sequences,
    });
    const vitals = (): Promise<Vitals> => readVitals({ folder: folder.work, platform: process.platform, root: options.systemRoot ?? '/' });
    const epochs = await openEpochs(folder.root);
    const system = createSystem({
      name: 'agent',
      host,
      onCrash: (crash) => log.error({ ...crash }, 'actor crashed'),
      onDeadLetter: (letter) => log.debug({ ...letter }, 'dead letter'),
    });
    const addresses = coordinatorsOf(membership);

    system.spawn({
      id: 'session',
      actor: sessionActor,
      restart: 'permanent',
      args: {
        capabilities,
        vitals: await vitals(),
        readVitals: vitals,
        key,
        gridUrl: () => addresses.current(),
        epochs,
        journal,
        executor: createWasmExecutor(host),
        cacheFolder: folder.cache,
        workFolder: folder.work,
        log,
        attempt: attemptActor,
        models: modelsActor,
        modelArgs: {
          host,
          offered: models,
          engineFor: await engineOf(options, host),
          files: (inUse) => new ModelFiles({ folder: modelFolder, quotaBytes: options.modelsDiskBytes, inUse }),
          gridUrl: () => membership.url,
          signatory: { device: membership.device, key },
          sequences: options.sequences,
          log,
        },
        openLink: (events, hello) =>
          createLinkClient<ToAgent, FromAgent>({
            host,
            connect: () => wsSocket(new WebSocket(addresses.next(), { perMessageDeflate: false, maxPayload: MAX_PAYLOAD })),
            peer: membership.device,
            key,
            serverKey: membership.gridKey,
            hello,
            decode: (raw) => ToAgent.parse(raw),
            lane: laneOfReport,
            limits: AGENT_LINK_LIMITS,
            ...events,
            onOpen(how) {
              addresses.keep();
              events.onOpen(how);
            },
          }),
        onRefused: options.onRefused,
        onState: options.onState,
      },
    });

    return {
      device: membership.device,
      name: membership.name,
      async stop() {
        await system.shutdown();
        await folder.release();
      },
    };
  } catch (error) {
    await (joined ? folder.release() : folder.abandon());
    throw error;
  }
}

/** The coordinators by turns: the one that answered last is tried first, then each of the others. */
function coordinatorsOf({ url, more = [] }: Membership): { current(): string; next(): URL; keep(): void } {
  const all = [url, ...more];
  let at = 0;
  let tried = -1;
  return {
    current: () => all[at] ?? url,
    next() {
      // The first try of each outage goes where the link was.
      tried = tried < 0 ? at : (tried + 1) % all.length;
      const address = new URL('/agent', all[tried] ?? url);
      address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
      return address;
    },
    keep() {
      at = Math.max(tried, 0);
      tried = -1;
    },
  };
}

/** The membership that is there, at its newest address, or a new one bought with the token. */
async function join(folder: string, key: KeyPair, { url, more = [], token, name }: AgentOptions): Promise<Membership> {
  const known = await readMembership(folder);
  if (known !== null) {
    if (url === undefined || (url === known.url && more.join(' ') === (known.more ?? []).join(' '))) return known;
    const moved = { ...known, url, more: [...more] };
    await writeMembership(folder, moved);
    return moved;
  }
  if (url === undefined)
    throw new GridError('BAD_URL', 'this machine belongs to no grid yet', {
      path: '--url',
      fix: 'give the address of the grid: --url http://HOST:7070',
    });
  if (token === undefined) {
    throw new GridError('BAD_TOKEN', 'this machine is not enrolled yet', {
      path: '--token',
      fix: 'make a token on the grid with `corpgrid tokens create` and give it with --token',
    });
  }
  return enrol({ url, more, token, name: name ?? hostname(), key, folder });
}

async function readModels({ models, contextSize, log }: AgentOptions): Promise<OfferedModel[]> {
  const offered: OfferedModel[] = [];
  for (const given of models) {
    for (const file of await ggufFiles(given)) {
      const inspected = await inspectModelFile(file);
      const name = path.basename(file, '.gguf');
      log.info({ model: name, bytes: inspected.size }, 'model offered');
      offered.push({ name, file: inspected, contextSize });
    }
  }
  return offered;
}

/** How long an upstream may take to say what it has. */
const UPSTREAM_MS = 10_000;

async function readUpstreams({ upstreams = [], upstreamKey, contextSize, log }: AgentOptions, host: Host): Promise<OfferedUpstream[]> {
  const offered: OfferedUpstream[] = [];
  for (const url of upstreams) {
    const ids = await upstreamModels(url, upstreamKey, AbortSignal.timeout(UPSTREAM_MS)).catch((cause: unknown) => {
      throw new GridError('BAD_CONFIGURATION', `the upstream ${url} does not list its models: ${messageOf(cause)}`, {
        path: '--upstream',
        fix: 'give the address up to and with /v1 of a server that runs, and its key in CORPGRID_UPSTREAM_KEY',
        cause,
      });
    });
    for (const id of ids) {
      log.info({ model: id, url }, 'model of an upstream offered');
      const sha256 = createHash('sha256').update(`upstream:${id}`).digest('hex');
      const engine = upstream({ host, url, key: upstreamKey, model: id });
      // What stands before a slash is whose it is; names of the grid have none.
      offered.push({ name: (id.split('/').at(-1) ?? id).slice(0, 120), file: { sha256, size: 1 }, contextSize, engine });
    }
  }
  return offered;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Undefined: files are computed by the engine that the agent brings. */
async function engineOf({ llamaServer: program }: AgentOptions, host: Host): Promise<((file: ModelFile) => StartEngine) | undefined> {
  if (program === undefined) return undefined;
  await access(program, constants.X_OK).catch(() => {
    throw new GridError('BAD_CONFIGURATION', `there is no program ${program}`, {
      path: '--llama-server',
      fix: 'give the path of a llama-server, or leave the option out',
    });
  });
  return (file) => llamaServer({ host, program, file });
}

async function ggufFiles(given: string): Promise<string[]> {
  const there = await stat(given).catch(() => null);
  if (there === null)
    throw new GridError('BAD_CONFIGURATION', `there is no model file or folder ${given}`, {
      path: '--models',
      fix: 'give a .gguf file or a folder that holds some',
    });
  if (!there.isDirectory()) return [given];
  const names = await readdir(given);
  return names
    .filter((n) => n.endsWith('.gguf'))
    .sort()
    .map((n) => path.join(given, n));
}
