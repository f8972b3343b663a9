local source, watermark = ARGV[3], ARGV[4]

-- Kafka forgets committed offsets of a group that is away for long; this does not.
redis.call('HSET', WATERMARKS, source, watermark)
local below = '(' .. int(math.floor(watermark / BLOCK))
for _, block in ipairs(redis.call('ZRANGEBYSCORE', blocks_key(source), '-inf', below)) do
  redis.call('DEL', block_key(source, block))
  redis.call('ZREM', blocks_key(source), block)
end

-- An answered request may be back in a Redis that was put back unseen. No bridge will read
-- it again: it would stay.
for _, member in ipairs(redis.call('ZRANGEBYSCORE', live_key(source), '-inf', '(' .. watermark)) do
  local key = string.match(member, '^%d+ (.*)$')
  local entry = fields(key, 'st', 'lease')
  if entry[1] then
    if is_open(entry[1]) then stop_work(key, entry[1], entry[2]) end
    each_offset(key, function(at, offset) drop_live(key, at, offset) end)
    redis.call('DEL', entry_key(key), attached_key(key))
  end
  redis.call('ZREM', live_key(source), member)
end
return 1
