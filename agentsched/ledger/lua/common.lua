-- What every script starts with: the namespace (ARGV[1]) and the server's clock.
-- All keys of a namespace lie on one server: in a cluster that takes a namespace with a hash
-- tag, such as {agentsched}.
-- Numbers that become text go through int(): `..` would round to 14 digits.
local P = ARGV[1]
local function int(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
local NOW_MS = int(NOW)                -- as text
-- The number of what all keys of the ledger mean together: entries, ready set, slots, change
-- log, limits, buckets, bitmaps, heartbeats. Values with a version of their own (facts,
-- tombstones, controls, reports) raise that instead. Raise it with any change that a process
-- with the number before would misread, and read that one's keys: tests/golden, README.md.
local LEDGER_FORMAT = 3
local function ready_text(turn, not_before, crashes, hash, facts)
  return turn .. ' ' .. not_before .. ' ' .. crashes .. ' ' .. hash .. ' ' .. facts
end
-- HASH id, count, born, fresh, format: the epoch and how far it has got. Written by `beat`
-- alone; version 1 wrote no format.
local EPOCH_KEY = P .. ':epoch'
local opened = redis.call('HMGET', EPOCH_KEY, 'id', 'format')
if tonumber(opened[2] or 1) > LEDGER_FORMAT then
  return redis.error_reply('NEWERFORMAT ledger ' .. opened[2])
end
-- HASH worker -> its slots that wait for a doorbell; outlives epochs.
local PARKED = P .. ':workers:parked'
local function park(worker, slots)
  if slots > 0 then redis.call('HSET', PARKED, worker, int(slots))
  else redis.call('HDEL', PARKED, worker) end
end

-- All that is kept while a worker lives.
local function forget_worker(id)
  redis.call('ZREM', P .. ':workers', id)
  redis.call('HDEL', P .. ':workers:slots', id)
  redis.call('HDEL', P .. ':workers:http', id)
  redis.call('HDEL', PARKED, id)
  if opened[1] then redis.call('HDEL', P .. ':' .. opened[1] .. ':turns', id) end
end

-- Of limits and controls: each change of one raises it, and voids all lists.
local function raise_revision() redis.call('INCR', P .. ':revision') end

-- Tells every bridge through the change log that a control or a question is new.
local function wake()
  if not opened[1] then return end
  redis.call('XADD', P .. ':' .. opened[1] .. ':changes', 'MAXLEN', '~', CHANGES_KEPT, '*',
    '1', 'orders  ')
end

-- Whether the change log has lost an entry that somebody got.
local function forgot(epoch, heard)
  if heard == '' or heard == '0-0' then return false end
  local changes = P .. ':' .. epoch .. ':changes'
  if redis.call('XRANGE', changes, heard, heard)[1] then return false end
  -- Only the oldest are ever trimmed, and only of a full log.
  return redis.call('XLEN', changes) < CHANGES_KEPT
    or redis.call('XRANGE', changes, '-', heard, 'COUNT', 1)[1] ~= nil
end
