import type { Vitals } from '#actors/contract/vitals.ts';

/**
 * A device, as the grid sees it.
 *
 *   enrolled ──first session──▶ present
 *   present ──session ended──▶ absent ──session──▶ present
 *   present ⇄ draining            by people: it gets nothing new, finishes within a grace or gives back, and says when it is empty
 *   any ──by people──▶ revoked    its key is worth nothing from then on
 *
 * Its session has states of its own: live ⇄ suspended (the socket is lost, the session may be resumed) ──▶ ended.
 * While suspended for SUSPECT_MS or longer its attempts are suspect: another device may be leased the same shard.
 */
export const SUSPECT_MS = 200;

/** Lease of a session: agents beat every second while they hold attempts, every 15 s otherwise. */
export const BUSY_LEASE_MS = 5_000;
export const IDLE_LEASE_MS = 45_000;

/** Above this a machine is about to slow itself down. */
const HOT_CELSIUS = 95;

/** Whether generations should go on elsewhere. What is unknown takes nothing away. */
export function isWantedBack({ power, owner, celsius }: Vitals): boolean {
  return power === 'battery' || owner === 'present' || (celsius !== null && celsius >= HOT_CELSIUS);
}
