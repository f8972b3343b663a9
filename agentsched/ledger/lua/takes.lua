-- The takes of a turn.
local READ_AHEAD = 8                   -- members of a list read at once, beside the free slots

-- The lists of some models that are in force, with the room that their pools have.
local function open_pools(models)
  local leader = redis.call('GET', P .. ':dispatcher')
  if not leader then return {} end
  local in_force = (redis.call('GET', P .. ':revision') or '0') .. ' ' .. leader
  local pools = {}
  for _, model in ipairs(models) do
    local lists, endpoints = redis.call('HGETALL', lists_key(model)), {}
    for i = 1, #lists, 2 do
      if lists[i + 1] == in_force then endpoints[#endpoints + 1] = lists[i] end
    end
    table.sort(endpoints)
    for _, endpoint in ipairs(endpoints) do
      local name = model .. '|' .. endpoint
      pools[#pools + 1] = {name = name, list = list_key(name), read = {}, at = 1, gone = 0,
        room = limit('capacity:' .. name, 0) - slots_used(pool_key(name)),
        kept = {}, slots = {}, ends = {}}
    end
  end
  return pools
end

-- The next member of a list, and its order; nil: there is none, or no room for it.
local function head_of(pool, ahead)
  if pool.room <= 0 then return nil end
  if pool.order then return pool.order end
  if not pool.read[pool.at] then
    pool.read = redis.call('LRANGE', pool.list, pool.gone, int(pool.gone + ahead - 1))
    pool.at = 1
  end
  if not pool.read[1] then
    pool.room = 0
    return nil
  end
  local order, turn, key, hash = string.match(pool.read[pool.at],
    '^(%S+) (%S+) (%S+) (%S+)')
  pool.order, pool.turn, pool.key, pool.hash = tonumber(order), turn, key, hash
  return pool.order
end

local function first_of(pools, ahead)
  local first, least
  for _, pool in ipairs(pools) do
    local order = head_of(pool, ahead)
    if order and (not least or order < least) then first, least = pool, order end
  end
  return first
end

-- What a worker needs to run a request: the fields after its key and lease.
local taken_bytes = 0
local function taken_row(key, lease, pool, turn, starts, entry)
  local payload = fields(key, 'payload')[1]
  taken_bytes = taken_bytes + #payload
  return {key, lease, pool, turn, starts, entry.facts, payload, entry.hash,
    int(entry.deadline - NOW), int(NOW - entry.arrival), entry.crashes}
end

-- A listed entry that may start: it is what its list says, and needs no call. Beside it
-- whether that is now. Its payload may be large, and is read where it starts.
local function startable(pool)
  local found = fields(pool.key, 'st', 'hash', 'turn', 'ending', 'deadline', 'not_before',
    'crashes', 'starts', 'cls', 'arrival', 'facts')
  local entry = {hash = found[2], deadline = found[5], crashes = found[7],
    starts = found[8], cls = found[9], arrival = found[10], facts = found[11]}
  if found[1] ~= 'ready' or entry.hash ~= pool.hash or found[3] ~= pool.turn
    or found[4] or tonumber(entry.deadline) <= NOW then
    return nil
  end
  return entry, tonumber(found[6] or 0) <= NOW
end

-- READY -> RUNNING; what it has in common with others of this call, `write_takes` does.
local function start(pool, entry, lease, ends)
  local key, turn, starts = pool.key, int(pool.turn + 1), int(entry.starts + 1)
  redis.call('HSET', entry_key(key), 'st', 'running', 'since', NOW_MS, 'lease', lease,
    'lease_end', ends, 'pool', pool.name, 'turn', turn, 'starts', starts)
  local slot = slot_text(entry.cls, lease, pool.name)
  pool.slots[#pool.slots + 1] = key
  pool.slots[#pool.slots + 1] = slot
  pool.ends[#pool.ends + 1] = ends
  pool.ends[#pool.ends + 1] = key
  emit('taken', key, slot)
  return taken_row(key, lease, pool.name, turn, starts, entry)
end

local function write_takes(pools, rows)
  local keys = {}
  for _, row in ipairs(rows) do keys[#keys + 1] = row[1] end
  if keys[1] then redis.call('HDEL', READY, unpack(keys)) end
  for _, pool in ipairs(pools) do
    if pool.ends[1] then
      redis.call('HSET', SLOTS, unpack(pool.slots))
      redis.call('ZADD', INFLIGHT, unpack(pool.ends))
      redis.call('ZADD', pool_key(pool.name), unpack(pool.ends))
    end
    if pool.gone > 0 then redis.call('LTRIM', pool.list, pool.gone, -1) end
    for i = #pool.kept, 1, -1 do redis.call('LPUSH', pool.list, pool.kept[i]) end
  end
end

-- One request for each lease, as far as there are any that may start, and up to so many
-- bytes. What is too early, or a suspect without a child, stays listed.
local function take(models, leases, lease_ms, children)
  local pools, rows, ends = open_pools(models), {}, int(NOW + lease_ms)
  local most = limit('max_in_flight', 0)
  local room = most > 0 and most - slots_used(INFLIGHT) or #leases
  while #rows < math.min(#leases, room) and taken_bytes < MAX_TURN_BYTES do
    local pool = first_of(pools, #leases - #rows + READ_AHEAD)
    if not pool then break end
    local entry, now = startable(pool)
    local suspect = entry and tonumber(entry.crashes) >= SUSPECT_CRASHES
    if entry and (not now or suspect and children <= 0) then
      pool.kept[#pool.kept + 1] = pool.read[pool.at]
    elseif entry then
      if suspect then children = children - 1 end
      rows[#rows + 1] = start(pool, entry, leases[#rows + 1], ends)
      pool.room = pool.room - 1
    end
    pool.order, pool.at, pool.gone = nil, pool.at + 1, pool.gone + 1
  end
  write_takes(pools, rows)
  return rows
end

-- What a turn took that was done before, and still has.
local function still_running(record)
  local rows = {}
  for key, lease in string.gmatch(record, '\n([^\n]*)\n([^\n]*)') do
    local found = fields(key, 'st', 'lease', 'pool', 'turn', 'starts', 'facts', 'hash',
      'deadline', 'arrival', 'crashes')
    if found[1] == 'running' and found[2] == lease then
      rows[#rows + 1] = taken_row(key, lease, found[3], found[4], found[5],
        {facts = found[6], hash = found[7], deadline = found[8], arrival = found[9],
          crashes = found[10]})
    end
  end
  return rows
end
