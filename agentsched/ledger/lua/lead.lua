local dispatcher, ttl_ms = ARGV[2], ARGV[3]

local holder = redis.call('GET', P .. ':dispatcher')
if holder and holder ~= dispatcher then return 0 end
redis.call('SET', P .. ':dispatcher', dispatcher, 'PX', ttl_ms)
return 1
