local worker = ARGV[2]

redis.call('ZREM', P .. ':workers', worker)
redis.call('HDEL', P .. ':workers:slots', worker)
redis.call('HDEL', P .. ':workers:http', worker)
return 1
