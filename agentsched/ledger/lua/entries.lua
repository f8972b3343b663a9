-- What every step on entries starts with, after common.lua: the epoch check, the names
-- of the keys, and what more than one step does. A step's arguments begin at ARGV[3].
local EPOCH = ARGV[2]
if opened[1] ~= EPOCH then
  return redis.error_reply('EPOCHCHANGED the ledger has no epoch or another one')
end

-- Below the epoch: what an old epoch left behind is simply not seen.
local ROOT = P .. ':' .. EPOCH .. ':'
local READY = ROOT .. 'ready'          -- HASH key -> "turn not_before crashes hash facts"
local INFLIGHT = ROOT .. 'inflight'    -- ZSET key -> end of the slot
local SLOTS = ROOT .. 'slots'          -- HASH key -> class \n lease_id \n pool
local CHANGES = ROOT .. 'changes'      -- STREAM
local LIMITS = ROOT .. 'limits'        -- HASH
local SLICES = ROOT .. 'answered'      -- ZSET end of a slice of tombstones -> itself
local PLACES = ROOT .. 'places'        -- HASH partition -> number, #number -> partition
local function entry_key(key) return ROOT .. 'req:' .. key end
local function attached_key(key) return ROOT .. 'attached:' .. key end
local function pool_key(pool) return ROOT .. 'inflight:' .. pool end
local function live_key(source) return ROOT .. 'live:' .. source end
local function cancel_key(key) return ROOT .. 'cancel:' .. key end
local function totals_key(model) return ROOT .. 'totals:' .. model end
-- Not below the epoch: an answer in Kafka stays an answer.
local WATERMARKS = P .. ':watermarks'  -- HASH source -> the last acknowledged one
local function blocks_key(source) return P .. ':done:' .. source .. ':blocks' end
local function block_key(source, block) return P .. ':done:' .. source .. ':' .. block end

-- Before a reply is stored.
local function is_open(state)
  return state == 'ready' or state == 'running'
end

local function fields(key, ...) return redis.call('HMGET', entry_key(key), ...) end

-- What a script changes is one entry of the change log: fields 1, 2, 3 ... with a change
-- each, "kind key more". It is written when the script ends, however it does.
local changed = {}
local function emit(kind, key, more)
  local count = #changed
  changed[count + 1] = count / 2 + 1
  changed[count + 2] = kind .. ' ' .. key .. ' ' .. (more or '')
end

-- So many in one command: Lua's stack is bounded.
local MAX_LOGGED = 2000
local function write_changes()
  for first = 1, #changed, MAX_LOGGED do
    redis.call('XADD', CHANGES, 'MAXLEN', '~', CHANGES_KEPT, '*',
      unpack(changed, first, math.min(first + MAX_LOGGED - 1, #changed)))
  end
  changed = {}
end

local function limit(name, missing)
  return tonumber(redis.call('HGET', LIMITS, name) or missing)
end

local function model_of(pool) return string.match(pool, '^[^|]*') end

-- Slots. One counts while its end is still to come; who holds it is its lease_id.

local function slots_used(zset)
  return redis.call('ZCOUNT', zset, '(' .. NOW_MS, '+inf')
end

-- How far the slots in use are beyond the limits (0: exactly full; < 0: room).
local function slots_over(pool)
  local over = slots_used(pool_key(pool)) - limit('capacity:' .. pool, 0)
  local all = limit('max_in_flight', 0)
  if all > 0 then over = math.max(over, slots_used(INFLIGHT) - all) end
  return over
end

local function hold_slot(key, pool, ends)
  redis.call('ZADD', INFLIGHT, ends, key)
  redis.call('ZADD', pool_key(pool), ends, key)
end

local function slot_of(key)
  local slot = redis.call('HGET', SLOTS, key)
  if not slot then return nil end
  local cls, lease, pool = string.match(slot, '^([^\n]*)\n([^\n]*)\n([^\n]*)')
  return {value = slot, cls = cls, lease = lease, pool = pool}
end

local function slot_text(cls, lease, pool)
  return cls .. '\n' .. lease .. '\n' .. pool
end

local function write_slot(key, cls, lease, pool)
  local value = slot_text(cls, lease, pool)
  redis.call('HSET', SLOTS, key, value)
  return value
end

local function free_slot(key)
  local slot = slot_of(key)
  if not slot then return end
  redis.call('ZREM', INFLIGHT, key)
  redis.call('ZREM', pool_key(slot.pool), key)
  redis.call('HDEL', SLOTS, key)
  emit('freed', key, slot.value)
end

-- A slot whose lease is over is free already; this drops what is left of it.
local function sweep()
  local over = redis.call('ZRANGEBYSCORE', INFLIGHT, '-inf', NOW_MS)
  for _, key in ipairs(over) do free_slot(key) end
end

-- States.

-- Format 2 counted rings, and had no turn.
local function turn_of(turn, ring) return turn or ring or '0' end

local function to_ready(key, not_before)
  free_slot(key)
  redis.call('HSET', entry_key(key), 'st', 'ready', 'since', NOW_MS, 'lease', '',
    'pool', '', 'not_before', not_before)
  local entry = fields(key, 'ending', 'turn', 'ring', 'crashes', 'hash', 'facts')
  -- What has to end is not offered to the dispatcher; its bridge answers it.
  if entry[1] then return emit('ending', key) end
  local turn = turn_of(entry[2], entry[3])
  if not entry[2] then redis.call('HSET', entry_key(key), 'turn', turn) end
  local value = ready_text(turn, not_before, entry[4], entry[5], entry[6])
  redis.call('HSET', READY, key, value)
  emit('ready', key, value)
end

-- An unanswered request has to end without a call: its bridge answers it so.
local function mark_ending(key, why)
  redis.call('HSETNX', entry_key(key), 'ending', why)
  if redis.call('HDEL', READY, key) == 1 then emit('left', key) end
  emit('ending', key)
end

-- An open request has its answer: it leaves the ready set. The slot of a call stays in use
-- until the call ends; its worker hears of it at once.
local function stop_work(key, state, lease)
  if state == 'ready' then
    redis.call('HDEL', READY, key)
    emit('left', key)
  else
    redis.call('PUBLISH', P .. ':voided', lease)
  end
end

local function not_before(key)
  return tonumber(fields(key, 'not_before')[1] or 0)
end

-- Offsets.

local function coordinates(source, offset) return offset .. ' ' .. source end

-- Every (source, offset) that the one reply answers.
local function each_offset(key, source, offset, act)
  act(source, offset)
  for _, member in ipairs(redis.call('SMEMBERS', attached_key(key))) do
    local offset, source = string.match(member, '^(%d+) (.*)$')
    act(source, offset)
  end
end

local function add_live(key, source, offset)
  redis.call('ZADD', live_key(source), offset, offset .. ' ' .. key)
end

local function drop_live(key, source, offset)
  redis.call('ZREM', live_key(source), offset .. ' ' .. key)
end

-- An entry and its identity: whoever sends the request again is a stranger.
local function forget(key)
  local entry = fields(key, 'source', 'offset')
  each_offset(key, entry[1], entry[2],
    function(source, offset) drop_live(key, source, offset) end)
  redis.call('DEL', entry_key(key), attached_key(key))
end

local noted = {}                       -- blocks that this call has noted
local function mark_done(key, source, offset)
  local block = int(math.floor(offset / BLOCK))
  local name = block_key(source, block)
  redis.call('SETBIT', name, int(offset % BLOCK), 1)
  if not noted[name] then redis.call('ZADD', blocks_key(source), block, block) end
  noted[name] = true
  emit('settled', key, coordinates(source, offset))
end
