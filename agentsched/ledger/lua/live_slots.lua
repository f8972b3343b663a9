local live = redis.call('ZRANGEBYSCORE', P .. ':workers', '(' .. int(NOW), '+inf')
if #live == 0 then return {} end
return redis.call('HMGET', P .. ':workers:slots', unpack(live))
