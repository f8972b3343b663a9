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

-- What format 2 left: its ready set is "ring not_before facts", and requests are RUNG there,
-- with a slot that no lease ends. Of the requests that run nothing is written anew.
local function from_format_2(root)
  local function offer(key, not_before)
    local entry = redis.call('HMGET', root .. 'req:' .. key, 'ring', 'crashes', 'hash', 'facts',
      'ending')
    if not (entry[3] and entry[4]) then  -- nothing of it can be run
      return redis.call('HDEL', root .. 'ready', key)
    end
    local turn = entry[1] or '0'
    redis.call('HSET', root .. 'req:' .. key, 'turn', turn, 'not_before', not_before)
    if entry[5] then return end
    redis.call('HSET', root .. 'ready', key,
      ready_text(turn, not_before, entry[2] or '0', entry[3], entry[4]))
  end
  local ready = redis.call('HGETALL', root .. 'ready')
  for i = 1, #ready, 2 do offer(ready[i], string.match(ready[i + 1], '^%d+ (%d+) ') or '0') end
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', root .. 'inflight', '+inf', '+inf')) do
    local entry = root .. 'req:' .. key
    redis.call('ZREM', root .. 'inflight', key)
    redis.call('ZREM', root .. 'inflight:' .. (redis.call('HGET', entry, 'pool') or ''), key)
    redis.call('HDEL', root .. 'slots', key)
    if redis.call('EXISTS', entry) == 1 then
      redis.call('HSET', entry, 'st', 'ready', 'since', int(NOW), 'pool', '')
      offer(key, '0')
    end
  end
end
if epoch and not older and tonumber(opened[2] or 1) < 3 then
  from_format_2(P .. ':' .. epoch .. ':')
end

local raised = redis.call('HINCRBY', EPOCH_KEY, 'count', 1)
-- Also over an epoch of the format before: who knows only that one must not write here now.
redis.call('HSET', EPOCH_KEY, 'format', LEDGER_FORMAT)
found = redis.call('HMGET', EPOCH_KEY, 'id', 'born', 'fresh')
return {found[1], raised, int(NOW - found[2]), tonumber(found[3])}
