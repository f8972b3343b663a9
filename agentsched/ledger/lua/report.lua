local bridge, text, ttl_ms = ARGV[2], ARGV[3], ARGV[4]

redis.call('SET', P .. ':report:' .. bridge, int(NOW) .. ' ' .. text, 'PX', ttl_ms)
return 1
