local worker, ttl_ms, slots, http = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local parked = tonumber(ARGV[6])

local over = redis.call('ZRANGEBYSCORE', P .. ':workers', '-inf', int(NOW - LAST_TURN_KEPT_MS))
for _, id in ipairs(over) do forget_worker(id) end
redis.call('ZADD', P .. ':workers', int(NOW + ttl_ms), worker)
redis.call('HSET', P .. ':workers:slots', worker, slots)
redis.call('HSET', P .. ':workers:http', worker, http)
park(worker, parked)
return opened[1] or ''
