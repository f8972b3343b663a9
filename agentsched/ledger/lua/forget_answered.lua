-- The runs follow, in order: start, stop (exclusive). Live offsets come in order, too.
local source, at = ARGV[3], 4

for _, member in ipairs(redis.call('ZRANGE', live_key(source), 0, -1)) do
  local offset, key = string.match(member, '^(%d+) (.*)$')
  offset = tonumber(offset)
  while ARGV[at] and tonumber(ARGV[at + 1]) <= offset do at = at + 2 end
  if not ARGV[at] then break end
  if tonumber(ARGV[at]) <= offset then
    local entry = fields(key, 'st', 'lease')
    if entry[1] then
      if is_open(entry[1]) then stop_work(key, entry[1], entry[2]) end
      forget(key)
    end
    redis.call('ZREM', live_key(source), member)
  end
end
return 1
