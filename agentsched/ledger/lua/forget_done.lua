local source, watermark = ARGV[3], ARGV[4]

-- Kafka forgets committed offsets of a group that is away for long; this does not.
redis.call('HSET', WATERMARKS, source, watermark)
local below = '(' .. int(math.floor(watermark / BLOCK))
for _, block in ipairs(redis.call('ZRANGEBYSCORE', blocks_key(source), '-inf', below)) do
  redis.call('DEL', block_key(source, block))
  redis.call('ZREM', blocks_key(source), block)
end
return 1
