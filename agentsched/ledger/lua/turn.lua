local worker, number, seen, lease_ms = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local children, free_slots = tonumber(ARGV[7]), tonumber(ARGV[8])

newer_may_be = true

-- The steps follow, each kind with its count before it.
local at = 9
local function each(width, act)
  local answers, first, count = {}, at + 1, tonumber(ARGV[at])
  at = first + width * count
  for i = first, at - 1, width do answers[#answers + 1] = act(i) end
  return answers
end
local function text(i) return ARGV[i] end

local sent = each(2, function(i) return published(ARGV[i], ARGV[i + 1]) end)
local won = each(7, function(i)
  return complete(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3] == '1', ARGV[i + 4],
    ARGV[i + 5], ARGV[i + 6] == '1')
end)
write_endings()
local returned = each(5, function(i)
  return put_back(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end)
local models, leases = each(1, text), each(1, text)

local function takes()
  local record = redis.call('HGET', TURNS, worker) or '0'
  local last = tonumber(string.match(record, '^%d+'))
  if number < last then return 1, {} end
  if number == last then return 0, still_running(record) end
  -- Its answer never arrived, and will not: what it took was not started.
  if last > seen then
    for key, lease in string.gmatch(record, '\n([^\n]*)\n([^\n]*)') do
      put_back(key, lease, '0', 'unstarted', '0')
    end
  end
  if not is_live(worker) then
    -- Who is not known at all gets no record: nothing would ever drop it.
    if last > 0 then redis.call('HSET', TURNS, worker, int(number)) end
    return 1, {}
  end
  sweep()
  local rows = take(models, leases, lease_ms, children)
  local took = {int(number)}
  for _, row in ipairs(rows) do
    took[#took + 1] = row[1]
    took[#took + 1] = row[2]
  end
  redis.call('HSET', TURNS, worker, table.concat(took, '\n'))
  if free_slots ~= UNTOLD then park(worker, free_slots - #rows) end
  return 0, rows
end

local refused, rows = takes()
return {refused, sent, won, returned, rows, taken_bytes >= MAX_TURN_BYTES and 1 or 0}
