import type { RunCommand } from '#actors/contract/agent-link.ts';

/** What one message carries at most: the link slices larger ones, and takes none of more than 8 MiB. */
const PARCEL_BYTES = 1_048_576;
const BODY_BYTES = 1_024;

/** Cuts commands into messages of a size that the link is quick with. */
export function inParcels(commands: readonly RunCommand[]): RunCommand[][] {
  const parcels: RunCommand[][] = [];
  let room = 0;
  for (const one of commands) {
    const bytes = BODY_BYTES * (1 + one.input.length) + one.args.reduce((sum, text) => sum + 3 * text.length, 0);
    room -= bytes;
    const last = parcels.at(-1);
    if (last !== undefined && room >= 0) {
      last.push(one);
    } else {
      parcels.push([one]);
      room = PARCEL_BYTES - bytes;
    }
  }
  return parcels;
}
