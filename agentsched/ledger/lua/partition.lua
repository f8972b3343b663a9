-- Live and done are read at one moment: between two reads a request could be neither.
local source, watermark, stop = ARGV[3], ARGV[4], ARGV[5]

local first = int(math.floor(watermark / BLOCK))
local last = '(' .. int(math.ceil(stop / BLOCK))
local done = {}
for _, block in ipairs(redis.call('ZRANGEBYSCORE', blocks_key(source), first, last)) do
  done[#done + 1] = block
  done[#done + 1] = redis.call('GET', block_key(source, block)) or ''
end
return {redis.call('ZRANGEBYSCORE', live_key(source), watermark, '(' .. stop), done,
  redis.call('HGET', WATERMARKS, source) or '0'}
