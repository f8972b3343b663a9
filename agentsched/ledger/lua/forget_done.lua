local source, watermark = ARGV[3], ARGV[4]

local below = '(' .. int(math.floor(watermark / BLOCK))
for _, block in ipairs(redis.call('ZRANGEBYSCORE', blocks_key(source), '-inf', below)) do
  redis.call('DEL', block_key(source, block))
  redis.call('ZREM', blocks_key(source), block)
end
return 1
