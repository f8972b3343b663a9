local rows = {}
for _, name in ipairs(redis.call('HKEYS', LIMITS)) do
  local pool = string.match(name, '^capacity:(.*)$')
  if pool then
    rows[#rows + 1] = {pool, int(slots_used(pool_key(pool))), int(limit(name, 0))}
  end
end
return rows
