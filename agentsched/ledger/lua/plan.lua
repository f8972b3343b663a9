local dispatcher, number, revision, seen = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]

local in_force = redis.call('GET', P .. ':revision') or '0'
local function refuse(outcome) return {outcome, in_force} end

if redis.call('GET', P .. ':dispatcher') ~= dispatcher then return refuse('not_dispatcher') end
if forgot(EPOCH, seen) then return refuse('gone') end
if revision ~= in_force then return refuse('old_revision') end
local last = tonumber(redis.call('HGET', PLANS, dispatcher) or 0)
if number < last then return refuse('old_number') end

-- The lists follow: model, endpoint, count, members.
local function replace_lists()
  local at = 7
  while ARGV[at] do
    local model, endpoint, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    local list = list_key(model .. '|' .. endpoint)
    redis.call('DEL', list)
    if count > 0 then redis.call('RPUSH', list, unpack(ARGV, at + 3, at + 2 + count)) end
    redis.call('HSET', lists_key(model), endpoint, in_force .. ' ' .. dispatcher)
    at = at + 3 + count
  end
  if last == 0 and redis.call('HLEN', PLANS) >= MAX_PLANS then redis.call('DEL', PLANS) end
  redis.call('HSET', PLANS, dispatcher, number)
end
if number > last then replace_lists() end

local parked = redis.call('HGETALL', PARKED)
local answer = {'planned', in_force}
for i = 1, #parked, 2 do
  local id = parked[i]
  if is_live(id) then
    answer[#answer + 1] = {id, parked[i + 1], redis.call('HGET', P .. ':workers:slots', id)}
  end
end
return answer
