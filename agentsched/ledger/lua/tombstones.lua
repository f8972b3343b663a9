-- Tombstones: what stays of an ANSWERED request, against duplicates. Those of one slice of
-- time (an eighth of the horizon) expire together. A slice is cut into shards, so that the
-- HASH of each stays one that Redis packs (up to 512 fields): some 64 bytes a request.
-- A script looks here only for a request that has no entry.

-- HASH answered:SLICE:SHARD, the 16 bytes of the key -> version, milliseconds until the
-- slice ends, half a hash of the payload and of the winner, the record (partition, offset),
-- the reply (partition, offset). A slice is named by the moment at which it expires.
local TOMBSTONE = '>BI4c8c8I4i6I4i6'
local TOMBSTONE_VERSION = 1
local SHARDS = 2048

-- The bytes of 16 hex digits.
local function packed(hex)
  return struct.pack('>I4I4', tonumber(string.sub(hex, 1, 8), 16),
    tonumber(string.sub(hex, 9, 16), 16))
end

local function field_of(key) return packed(key) .. packed(string.sub(key, 17)) end
-- 64 bits tell two payloads, or two winners, of one identity apart.
local function half_of(hash) return packed(hash) end
local function winner_half(by) return packed(redis.sha1hex(by)) end

local function shard_of(key) return int(tonumber(string.sub(key, 1, 3), 16) % SHARDS) end
local function bucket_key(slice, shard) return ROOT .. 'answered:' .. slice .. ':' .. shard end

-- A partition's name takes four bytes in a tombstone.
local numbers = {}                     -- those that this call knows
local function number_of(place)
  local known = numbers[place] or redis.call('HGET', PLACES, place)
  if not known then
    known = redis.call('HLEN', PLACES) / 2 + 1
    redis.call('HSET', PLACES, place, int(known), '#' .. int(known), place)
  end
  numbers[place] = tonumber(known)
  return numbers[place]
end

local function place_of(number) return redis.call('HGET', PLACES, '#' .. int(number)) end

local slices                           -- those that this call knows
local function live_slices()
  slices = slices or redis.call('ZRANGEBYSCORE', SLICES, '(' .. NOW_MS, '+inf')
  return slices
end

-- The slice of what is answered now: where it ends, and that it is known.
local now_slice
local function open_slice()
  if now_slice then return now_slice end
  local horizon_ms = limit('horizon_s', 3600) * 1000
  local slice_ms = math.ceil(horizon_ms / 8)
  local ends = (math.floor(NOW / slice_ms) + 1) * slice_ms + horizon_ms
  now_slice = ends
  -- It may be known no more while its buckets are: the clock was ahead, and is right again.
  if redis.call('ZSCORE', SLICES, int(ends)) then return ends end
  redis.call('ZREMRANGEBYSCORE', SLICES, '-inf', NOW_MS)
  redis.call('ZADD', SLICES, int(ends), int(ends))
  redis.call('PEXPIREAT', SLICES, redis.call('ZRANGE', SLICES, -1, -1)[1])
  slices = nil
  return ends
end

local function bury(key, hash, winner, source, offset, reply_at)
  local ends = open_slice()
  local place, reply_offset = string.match(reply_at, '^(.*) (-?%d+)$')
  local bucket = bucket_key(int(ends), shard_of(key))
  redis.call('HSET', bucket, field_of(key), struct.pack(TOMBSTONE, TOMBSTONE_VERSION,
    ends - NOW, half_of(hash), winner_half(winner), number_of(source), offset,
    number_of(place), reply_offset))
  if redis.call('HLEN', bucket) == 1 then redis.call('PEXPIREAT', bucket, int(ends)) end
end

-- A turn sets this: one step that it does not understand must not stop the others.
local newer_may_be = false

-- The tombstone of a request that has no entry; nil: it is unknown. One of a newer version
-- says only, where it may be, that somebody has answered.
local function tombstone(key)
  local field, shard = field_of(key), shard_of(key)
  for _, slice in ipairs(live_slices()) do
    local value = redis.call('HGET', bucket_key(slice, shard), field)
    if value then
      if string.byte(value) ~= TOMBSTONE_VERSION then
        if newer_may_be then return {} end
        error('NEWERFORMAT tombstone ' .. string.byte(value))
      end
      local _, left, hash, winner, source, offset, place, reply_offset =
        struct.unpack(TOMBSTONE, value)
      return {hash = hash, winner = winner, source = source, offset = offset,
        since = slice - left, place = place, reply_offset = reply_offset}
    end
  end
end

local function reply_at_of(tomb)
  local place = place_of(tomb.place)
  return place and place .. ' ' .. int(tomb.reply_offset) or ''
end

local function is_done(source, offset)
  local block = int(math.floor(offset / BLOCK))
  return redis.call('GETBIT', block_key(source, block), int(offset % BLOCK)) == 1
end
