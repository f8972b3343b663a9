local question, bridge, text, ttl_ms = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

redis.call('HSET', P .. ':findings:' .. question, bridge, text)
redis.call('PEXPIRE', P .. ':findings:' .. question, ttl_ms)
return 1
