import type { Redis } from 'ioredis';

/**
 * What presence does inside Redis, each step whole or not at all.
 *
 *   {corpgrid:presence}:grid      who we are: a random name. It is gone when Redis lost its memory
 *   {corpgrid:presence}:due       sorted set, id → the server's time in ms at which it comes due
 *   {corpgrid:presence}:claimed   sorted set, id → until when the coordinator that was handed it has it to itself
 *   {corpgrid:presence}:token     hash, id → the token that was set last
 *   {corpgrid:presence}:owner     hash, id → the coordinator that set it
 *
 * Time is the server's own, so the clocks of the coordinators do not matter. The braces keep all keys on one node of a cluster.
 * Every script is told the name and refuses when another one stands there.
 */

const KEYS = ['grid', 'due', 'claimed', 'token', 'owner'].map((name) => `{corpgrid:presence}:${name}`);

/** Answered when the marker is not the one that the caller knows: Redis lost its memory, or was given to another grid. */
export const FORGOTTEN = 'FORGOTTEN presence was lost';

/** Milliseconds of the server's clock. */
export const SERVER_TIME = "(function() local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) end)()";

const prelude = (time: string): string => `
local grid, due, claimed, tokens, owners = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('GET', grid) ~= ARGV[1] then return redis.error_reply('${FORGOTTEN}') end
local me, now = ARGV[2], ${time}
local function put(id, token, at)
  redis.call('ZADD', due, at, id)
  redis.call('ZREM', claimed, id)
  redis.call('HSET', tokens, id, token)
  redis.call('HSET', owners, id, me)
end
local function forget(id)
  redis.call('ZREM', due, id)
  redis.call('ZREM', claimed, id)
  redis.call('HDEL', tokens, id)
  redis.call('HDEL', owners, id)
end
local function waits(id, token)
  return redis.call('HGET', tokens, id) == token and redis.call('ZSCORE', due, id)
end
`;

/** ARGV from the third on: id, token, ttl. */
const SET = `
put(ARGV[3], ARGV[4], now + ARGV[5])
return 1
`;

/** ARGV from the third on: id, token, ttl of each. Answers 1 or 0 for each. */
const RENEW = `
local out = {}
for i = 3, #ARGV, 3 do
  if waits(ARGV[i], ARGV[i + 1]) then
    put(ARGV[i], ARGV[i + 1], now + ARGV[i + 2])
    out[#out + 1] = 1
  else
    out[#out + 1] = 0
  end
end
return out
`;

const REMOVE = `
if not waits(ARGV[3], ARGV[4]) then return 0 end
forget(ARGV[3])
return 1
`;

/**
 * After a loss, a cut or a stall: brings back id, token, ttl of each, but never over a newer one, and never sooner than it
 * stands. In nobody's name (the coordinator is '') only what is not there at all. Answers 1 or 0 for each.
 */
const RESTORE = `
local out = {}
for i = 3, #ARGV, 3 do
  local id, token, at = ARGV[i], ARGV[i + 1], now + ARGV[i + 2]
  local known = redis.call('HGET', tokens, id)
  if known and (known ~= token or me == '') then
    out[#out + 1] = 0
  else
    local score = redis.call('ZSCORE', due, id)
    if score and tonumber(score) > at then at = score end
    put(id, token, at)
    out[#out + 1] = 1
  end
end
return out
`;

/**
 * Hands over what is due: the coordinator's own entries, those of others that have let theirs wait for too long, and those whose
 * taker was never heard of again. ARGV from the third on: limit, how long others have for theirs, how long we have for these.
 */
const TAKE = `
local limit, patience, hold = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local out = {}
local function take(id)
  redis.call('ZREM', due, id)
  redis.call('ZADD', claimed, now + hold, id)
  out[#out + 1] = id
  out[#out + 1] = redis.call('HGET', tokens, id) or ''
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', claimed, '-inf', now, 'LIMIT', 0, limit)) do take(id) end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now - patience, 'LIMIT', 0, limit)) do take(id) end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)) do
  if redis.call('HGET', owners, id) == me then take(id) end
end
return out
`;

/** ARGV from the third on: id, token of each that was handed over and is dealt with. */
const DONE = `
for i = 3, #ARGV, 2 do
  if redis.call('HGET', tokens, ARGV[i]) == ARGV[i + 1] and redis.call('ZSCORE', claimed, ARGV[i]) then forget(ARGV[i]) end
end
return 1
`;

/** Reads the marker, or sets ours when there is none. The only script without the check. */
const ADOPT = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX') then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
  return ARGV[1]
end
return redis.call('GET', KEYS[1])
`;

type Command = (...args: (string | number)[]) => Promise<unknown>;

export interface PresenceScripts {
  readonly set: Command;
  readonly renew: Command;
  readonly remove: Command;
  readonly restore: Command;
  readonly take: Command;
  readonly done: Command;
  readonly adopt: Command;
}

/**
 * The scripts as commands of this client; the keys are filled in. Arguments: the marker, the coordinator, and then as above.
 * @param time Lua expression for the server's time in ms
 */
export function presenceScripts(client: Redis, time: string): PresenceScripts {
  const bodies = { set: SET, renew: RENEW, remove: REMOVE, restore: RESTORE, take: TAKE, done: DONE };
  const commands = { ...Object.fromEntries(Object.entries(bodies).map(([name, lua]) => [name, prelude(time) + lua])), adopt: ADOPT };
  const defined: Record<string, Command> = {};
  for (const [name, lua] of Object.entries(commands)) {
    const command = `presence_${name}`;
    client.defineCommand(command, { numberOfKeys: KEYS.length, lua });
    // The client grows a method of that name with the line above, which its type cannot say.
    const methods = client as unknown as Record<string, Command>;
    defined[name] = (...args) => (methods[command] as Command).call(client, ...KEYS, ...args);
  }
  // Made from exactly these names.
  return defined as unknown as PresenceScripts;
}
