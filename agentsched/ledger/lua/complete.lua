-- `by` says whose reply this is: "lease:" and the lease_id, or "reply:" and the hash.
local key, by, reply = ARGV[3], ARGV[4], ARGV[5]
local called, failed, model_ms = ARGV[6] == '1', ARGV[7], ARGV[8]

local lease = string.match(by, '^lease:(.*)$')
local entry = fields(key, 'st', 'lease', 'pool', 'winner')
local state = entry[1]

local function count(pool)
  if not called or pool == '' then return end
  local totals = totals_key(model_of(pool))
  redis.call('HINCRBY', totals, 'calls', 1)
  redis.call('HINCRBY', totals, 'failed', failed)
  redis.call('HINCRBY', totals, 'model_ms', model_ms)
end

local open = is_open(state)
if open and (not lease or (state == 'running' and entry[2] == lease)) then
  if lease then free_slot(key) else stop_work(key, state, entry[2]) end
  redis.call('HDEL', entry_key(key), 'payload')
  redis.call('HSET', entry_key(key), 'st', 'done', 'since', int(NOW), 'reply', reply,
    'winner', by, 'lease', '')
  count(entry[3])
  return 1
end

local tomb = not state and tombstone(key)
if tomb and tomb.winner == winner_half(by) then return 1 end
if state and not open and entry[4] == by then return 1 end
-- The lease was voided by another's answer; its call ends here all the same.
local slot = lease and slot_of(key)
if slot and slot.lease == lease then
  free_slot(key)
  count(slot.pool)
end
return 0
