local known, count, heard, candidate = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

local found = redis.call('HMGET', EPOCH_KEY, 'id', 'count')
local epoch = found[1]
local older = epoch and (epoch < known
  or (epoch == known and (tonumber(found[2]) < count or forgot(epoch, heard))))
if not epoch or older then
  redis.call('DEL', EPOCH_KEY)
  redis.call('HSET', EPOCH_KEY, 'id', candidate, 'born', int(NOW),
    'fresh', epoch and 0 or 1)
end
local raised = redis.call('HINCRBY', EPOCH_KEY, 'count', 1)
-- Also over an epoch of the format before: who knows only that one must not write here now.
redis.call('HSET', EPOCH_KEY, 'format', LEDGER_FORMAT)
found = redis.call('HMGET', EPOCH_KEY, 'id', 'born', 'fresh')
return {found[1], raised, int(NOW - found[2]), tonumber(found[3])}
