sweep()
write_changes()
local last = redis.call('XREVRANGE', CHANGES, '+', '-', 'COUNT', 1)
local cursor = last[1] and last[1][1] or '0-0'
return {cursor, int(NOW), redis.call('HVALS', READY), redis.call('HGETALL', SLOTS)}
