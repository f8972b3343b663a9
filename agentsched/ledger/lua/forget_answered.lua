local source, below = ARGV[3], ARGV[4]

for _, member in ipairs(redis.call('ZRANGEBYSCORE', live_key(source), '-inf', '(' .. below)) do
  local key = string.match(member, '^%d+ (.*)$')
  local entry = fields(key, 'st', 'lease')
  if entry[1] then
    if is_open(entry[1]) then stop_work(key, entry[1], entry[2]) end
    forget(key)
  end
  redis.call('ZREM', live_key(source), member)
end
return 1
