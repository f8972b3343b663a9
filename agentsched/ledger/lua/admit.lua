local key, facts, payload, hash = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local source, offset, cls = ARGV[7], ARGV[8], ARGV[9]
local arrival, deadline = ARGV[10], ARGV[11]
local reply, by = ARGV[12], ARGV[13]

local known = fields(key, 'st', 'hash', 'source', 'offset', 'reply_at')
local state = known[1]
if state then
  local here = coordinates(source, offset)
  if here == coordinates(known[3], known[4])
    or redis.call('SISMEMBER', attached_key(key), here) == 1 then
    return {'same', state}
  end
  if hash ~= known[2] then return {'conflict'} end
  if state == 'answered' then return {'repeated', state, known[5]} end
  -- Its reply may be in Kafka by now, before this record: its sender would not see it.
  if state == 'done' then return {'stored', state} end
  redis.call('SADD', attached_key(key), here)
  add_live(key, source, offset)
  return {'attached', state}
end

local tomb = tombstone(key)
if tomb then
  -- What was attached before the answer is done, too; the bitmap knows it.
  if (place_of(tomb.source) == source and tomb.offset == tonumber(offset))
    or is_done(source, offset) then
    return {'same', 'answered'}
  end
  if half_of(hash) ~= tomb.hash then return {'conflict'} end
  return {'repeated', 'answered', reply_at_of(tomb)}
end

local function add(state)
  redis.call('HSET', entry_key(key), 'st', state, 'since', int(NOW), 'facts', facts,
    'hash', hash, 'source', source, 'offset', offset, 'cls', cls, 'arrival', arrival,
    'deadline', deadline, 'ring', 0, 'starts', 0, 'crashes', 0)
  add_live(key, source, offset)
  return {'new', state}
end

-- It comes with its answer: it takes no room in the ready set.
if reply ~= '' then
  redis.call('DEL', cancel_key(key))
  redis.call('HSET', entry_key(key), 'reply', reply, 'winner', by, 'lease', '')
  return add('done')
end
if redis.call('EXISTS', cancel_key(key)) == 1 then return {'cancelled'} end
-- READY and RUNG: the slots that no lease ends are those of RUNG.
local used = redis.call('HLEN', READY) + redis.call('ZCOUNT', INFLIGHT, '+inf', '+inf')
if used >= limit('ready_max_entries', 2000) then return {'full'} end
redis.call('HSET', entry_key(key), 'payload', payload)
local answer = add('ready')
to_ready(key, '0')
return answer
