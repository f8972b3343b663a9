local bridge, ttl_ms = ARGV[2], ARGV[3]

redis.call('ZREMRANGEBYSCORE', P .. ':bridges', '-inf', int(NOW))
redis.call('ZADD', P .. ':bridges', int(NOW + ttl_ms), bridge)
return redis.call('ZCARD', P .. ':bridges')
