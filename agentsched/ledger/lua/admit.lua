-- Many requests, each on its own: WIDTH arguments each.
local WIDTH = 13
local most = limit('ready_max_entries', 2000)
local used = redis.call('HLEN', READY)

local function known_entry(key, known, hash, source, offset)
  local state, here = known[1], coordinates(source, offset)
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

local function known_answer(tomb, hash, source, offset)
  -- What was attached before the answer is done, too; the bitmap knows it.
  if (place_of(tomb.source) == source and tomb.offset == tonumber(offset))
    or is_done(source, offset) then
    return {'same', 'answered'}
  end
  if half_of(hash) ~= tomb.hash then return {'conflict'} end
  return {'repeated', 'answered', reply_at_of(tomb)}
end

local function admit(i)
  local key, facts, payload, hash = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local source, offset, cls = ARGV[i + 4], ARGV[i + 5], ARGV[i + 6]
  local known = fields(key, 'st', 'hash', 'source', 'offset', 'reply_at')
  if known[1] then return known_entry(key, known, hash, source, offset) end
  local tomb = tombstone(key)
  if tomb then return known_answer(tomb, hash, source, offset) end

  local function add(state, ...)
    redis.call('HSET', entry_key(key), 'st', state, 'since', NOW_MS, 'facts', facts,
      'hash', hash, 'source', source, 'offset', offset, 'cls', cls,
      'arrival', ARGV[i + 7], 'deadline', ARGV[i + 8], 'group', ARGV[i + 9],
      'tokens', ARGV[i + 10], 'turn', 0, 'starts', 0, 'crashes', 0, ...)
    add_live(key, source, offset)
    return {'new', state}
  end

  local reply, by = ARGV[i + 11], ARGV[i + 12]
  -- It comes with its answer: it takes no room in the ready set.
  if reply ~= '' then
    redis.call('DEL', cancel_key(key))
    return add('done', 'reply', reply, 'winner', by, 'lease', '')
  end
  if redis.call('EXISTS', cancel_key(key)) == 1 then return {'cancelled'} end
  if used >= most then return {'full'} end
  used = used + 1
  -- A call may go on for an entry that was forgotten.
  free_slot(key)
  local answer = add('ready', 'payload', payload, 'not_before', 0)
  local value = ready_text('0', '0', '0', hash, facts)
  redis.call('HSET', READY, key, value)
  emit('ready', key, value)
  return answer
end

local answers = {}
for i = 3, #ARGV, WIDTH do answers[#answers + 1] = admit(i) end
return answers
