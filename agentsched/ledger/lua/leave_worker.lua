local worker = ARGV[2]

-- Its last turn is remembered for a while, like that of a dead one: what a lost answer took
-- has to be put back, and a late message must take nothing.
redis.call('ZADD', P .. ':workers', 'XX', 'LT', NOW_MS, worker)
redis.call('HDEL', P .. ':workers:slots', worker)
redis.call('HDEL', P .. ':workers:http', worker)
redis.call('HDEL', PARKED, worker)
return 1
