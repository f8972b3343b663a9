local used = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', INFLIGHT, '(' .. int(NOW), '+inf')) do
  local model = model_of(slot_of(key).pool)
  used[model] = (used[model] or 0) + 1
end
local rows, seen = {}, {}
for _, name in ipairs(redis.call('HKEYS', LIMITS)) do
  local pool = string.match(name, '^capacity:(.*)$')
  local model = pool and model_of(pool)
  if model and not seen[model] then
    seen[model] = true
    local sums = redis.call('HMGET', totals_key(model), 'calls', 'failed', 'model_ms')
    rows[#rows + 1] = {model, int(used[model] or 0), sums[1] or '0', sums[2] or '0',
      sums[3] or '0'}
  end
end
return rows
