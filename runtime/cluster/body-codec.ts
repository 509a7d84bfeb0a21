import { Packr } from 'msgpackr';

import { GridError, isListed } from '#runtime/errors.ts';
import { Refusal, type RefusalDetail } from '#runtime/kernel/errors.ts';
import { ActorRef } from '#runtime/kernel/ref.ts';

/** How an actor's address travels: who holds the actor, and under what name it knows it. */
export interface RemoteAddress {
  readonly node: string;
  readonly name: string;
  readonly protocol: string;
}

export interface BodyCodec {
  encode(value: unknown): Uint8Array;
  /** @throws when the bytes are none of `encode` */
  decode(bytes: Uint8Array): unknown;
}

const MARK = '$actor';
const REFUSAL = '$refusal';

/**
 * Payloads as bytes. Plain data, byte arrays, maps and refusals go as they are; addresses of actors, wherever they stand, are replaced
 * by what another node can make an address of.
 */
export function createBodyCodec(addresses: {
  readonly toAddress: (ref: ActorRef) => RemoteAddress;
  readonly toRef: (address: RemoteAddress) => ActorRef;
}): BodyCodec {
  // Records that live no longer than their message: objects stay objects, and maps stay maps.
  const packr = new Packr({ useRecords: true, maxSharedStructures: 0, mapsAsObjects: false, copyBuffers: true });

  function outgoing(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
    if (value instanceof ActorRef) return new Map([[MARK, addresses.toAddress(value)]]);
    if (Refusal.is(value)) return new Map([[REFUSAL, { code: value.code, message: value.message, detail: detailOf(value) }]]);
    if (Array.isArray(value)) return value.map(outgoing);
    if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, outgoing(one)]));
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, outgoing(one)]));
  }

  function incoming(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
    if (Array.isArray(value)) return value.map(incoming);
    if (value instanceof Map) {
      const address: unknown = value.get(MARK);
      if (address !== undefined) return addresses.toRef(address as RemoteAddress);
      const refusal: unknown = value.get(REFUSAL);
      if (refusal !== undefined) return refusalOf(refusal as { code: string; message: string; detail: RefusalDetail });
      return new Map([...value].map(([key, one]: [unknown, unknown]) => [key, incoming(one)]));
    }
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, incoming(one)]));
  }

  return {
    encode: (value) => packr.pack(outgoing(value)),
    decode: (bytes) => incoming(packr.unpack(bytes)),
  };
}

function detailOf({ path, fix }: Refusal): RefusalDetail {
  return { ...(path === undefined ? {} : { path }), ...(fix === undefined ? {} : { fix }) };
}

function refusalOf({ code, message, detail }: { code: string; message: string; detail: RefusalDetail }): Refusal {
  const refusal = new Refusal(code, message, detail);
  return isListed(refusal) ? new GridError(refusal.code, message, detail) : refusal;
}
