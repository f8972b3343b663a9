local text, ttl_ms, most = ARGV[2], ARGV[3], ARGV[4]

redis.call('ZREMRANGEBYSCORE', P .. ':questions', '-inf', int(NOW))
redis.call('ZADD', P .. ':questions', int(NOW + ttl_ms), text)
redis.call('ZREMRANGEBYRANK', P .. ':questions', 0, int(-most - 1))
wake()
return 1
