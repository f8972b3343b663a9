local worker, ttl_ms, slots, http = ARGV[2], ARGV[3], ARGV[4], ARGV[5] or ''

local over = redis.call('ZRANGEBYSCORE', P .. ':workers', '-inf', int(NOW))
for _, id in ipairs(over) do
  redis.call('ZREM', P .. ':workers', id)
  redis.call('HDEL', P .. ':workers:slots', id)
  redis.call('HDEL', P .. ':workers:http', id)
end
redis.call('ZADD', P .. ':workers', int(NOW + ttl_ms), worker)
redis.call('HSET', P .. ':workers:slots', worker, slots)
redis.call('HSET', P .. ':workers:http', worker, http)
return 1
