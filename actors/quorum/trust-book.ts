import type { DeviceRow, StandingRow, Store } from '#actors/store/store.ts';
import { PRIOR_A, PRIOR_B } from '#actors/store/standing-rules.ts';
import type { Clock } from '#runtime/kernel/host.ts';

import type { Machines } from './lessons.ts';
import type { Fleet } from './quorum.state.ts';

/** How old the list of devices may be when somebody asks for it anew. */
const ROSTER_MS = 5_000;

type Member = Pick<DeviceRow, 'id' | 'principal' | 'trusted' | 'state' | 'capabilities'>;

/**
 * What this coordinator knows of the credit of devices: a copy of the store's standings, one for each app, shared by all
 * jobs of it. It changes only by what a commit answered, so it never shows what did not become durable, and by reading
 * the store again.
 */
export interface TrustBook {
  /** The page of an app, read from the store the first time. */
  page(app: string): Promise<AppTrust>;
  /** Reads devices anew, unless that was done a moment ago. */
  refresh(): Promise<void>;
}

/** Devices and their credit with one app. */
export interface AppTrust extends Fleet, Machines {
  readonly app: string;
  /** Standings as a commit answered them, or as the store has them. */
  keep(standings: readonly StandingRow[]): void;
  /** Reads the standings anew: other coordinators may have learned something. */
  reload(): Promise<void>;
  /** Null when the device is unknown. */
  memberOf(device: string): { readonly principal: string; readonly trusted: boolean } | null;
  /** A device that is met before the list of devices has it. */
  meet(device: string, principal: string, trusted: boolean): void;
  quarantineOf(device: string): string | null;
  /** Shut out by people: what it said is worth nothing any more. */
  isRevoked(device: string): boolean;
}

export function createTrustBook(store: Pick<Store, 'listDevices' | 'standings'>, clock: Clock): TrustBook {
  const roster = new Map<string, Member>();
  /** Rises whenever devices or standings change: what was counted before is stale. */
  let version = 0;
  let readAt = Number.NEGATIVE_INFINITY;
  const pages = new Map<string, Promise<AppTrust>>();

  async function refresh(): Promise<void> {
    if (clock.now() - readAt < ROSTER_MS) return;
    readAt = clock.now();
    const rows = await store.listDevices();
    for (const row of rows) roster.set(row.id, row);
    version += 1;
  }

  async function open(app: string): Promise<AppTrust> {
    await refresh();
    const page = new Page(app);
    await page.reload();
    return page;
  }

  class Page implements AppTrust {
    readonly app: string;
    #standings = new Map<string, StandingRow>();
    /** Principals that may vote, counted anew when something changed. */
    #voices: ReadonlySet<string> = new Set();
    #countedAt = -1;

    constructor(app: string) {
      this.app = app;
    }

    credibility(device: string): number | null {
      if (this.isRevoked(device)) return null;
      const standing = this.#standings.get(device);
      if (standing === undefined) return PRIOR_A / (PRIOR_A + PRIOR_B);
      return standing.quarantine === null ? standing.a / (standing.a + standing.b) : null;
    }

    hasVoiceBesides(principals: ReadonlySet<string>): boolean {
      const voices = this.#countVoices();
      if (voices.size > principals.size) return true;
      for (const principal of voices) if (!principals.has(principal)) return true;
      return false;
    }

    hasDeviceBesides(devices: ReadonlySet<string>): boolean {
      for (const member of roster.values()) if (member.state !== 'revoked' && !devices.has(member.id)) return true;
      return false;
    }

    hasCoreBesides(devices: ReadonlySet<string>): boolean {
      for (const member of roster.values()) if (member.trusted && this.#mayVote(member) && !devices.has(member.id)) return true;
      return false;
    }

    platform(device: string): string {
      const capabilities = roster.get(device)?.capabilities;
      if (!capabilities) return 'an unknown platform';
      const gpus = capabilities.gpus.map((gpu) => `${gpu.backend} ${gpu.name}`);
      return [`${capabilities.os}-${capabilities.arch}`, ...gpus].join(', ');
    }

    ofPlatform(platform: string): readonly string[] {
      return [...roster.values()].filter((m) => !m.trusted && this.platform(m.id) === platform).map((m) => m.id);
    }

    counts(device: string): boolean {
      return this.quarantineOf(device) === null;
    }

    keep(standings: readonly StandingRow[]): void {
      for (const row of standings) {
        if (row.quarantine !== null && this.quarantineOf(row.device) === null) version += 1;
        this.#standings.set(row.device, row);
      }
    }

    async reload(): Promise<void> {
      const rows = await store.standings({ app: this.app });
      this.#standings = new Map(rows.map((row) => [row.device, row]));
      version += 1;
    }

    memberOf(device: string): Member | null {
      return roster.get(device) ?? null;
    }

    meet(device: string, principal: string, trusted: boolean): void {
      if (roster.has(device)) return;
      roster.set(device, { id: device, principal, trusted, state: 'present', capabilities: null });
      version += 1;
    }

    isRevoked(device: string): boolean {
      return roster.get(device)?.state === 'revoked';
    }

    quarantineOf(device: string): string | null {
      return this.#standings.get(device)?.quarantine ?? null;
    }

    #mayVote(member: Member): boolean {
      return member.state !== 'revoked' && this.quarantineOf(member.id) === null;
    }

    /** While a trusted device is there to decide, nobody waits for a machine that is switched off. */
    #countVoices(): ReadonlySet<string> {
      if (this.#countedAt === version) return this.#voices;
      this.#countedAt = version;
      const hasCore = this.hasCoreBesides(new Set());
      const voices = new Set<string>();
      for (const member of roster.values()) {
        const isHere = member.state === 'present' || member.state === 'draining';
        if (this.#mayVote(member) && (isHere || !hasCore)) voices.add(member.principal);
      }
      this.#voices = voices;
      return voices;
    }
  }

  return {
    refresh,
    page(app) {
      let page = pages.get(app);
      if (page === undefined) {
        page = open(app);
        pages.set(app, page);
        // A read that failed must not be the last word.
        page.catch(() => pages.delete(app));
      }
      return page;
    },
  };
}
