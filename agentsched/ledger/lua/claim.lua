local key, ring, lease, lease_ms = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local entry = fields(key, 'st', 'ring', 'lease', 'pool', 'deadline', 'arrival', 'cls',
  'ending')
local state, pool = entry[1], entry[4]
local function answer(outcome)
  local found = fields(key, 'facts', 'payload', 'starts', 'crashes')
  return {outcome, found[1], found[2], pool, found[3],
    int(entry[5] - NOW), int(NOW - entry[6]), found[4]}
end

if state == 'running' and entry[3] == lease then return answer('claimed') end
-- What has to end is its bridge's.
if state ~= 'rung' or entry[2] ~= ring or entry[8] then return {'stale'} end
if tonumber(entry[5]) <= NOW then return answer('overdue') end
if slots_over(pool) > 0 then
  to_ready(key, '0')
  return {'put_back'}
end
local ends = int(NOW + lease_ms)
redis.call('HSET', entry_key(key), 'st', 'running', 'lease', lease, 'lease_end', ends,
  'since', int(NOW))
redis.call('HINCRBY', entry_key(key), 'starts', 1)
hold_slot(key, pool, ends)
write_slot(key, entry[7], lease, pool)
return answer('claimed')
