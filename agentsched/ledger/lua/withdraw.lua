local key = ARGV[3]

local entry = fields(key, 'st', 'ending', 'turn')
local state = entry[1]
if not state then return tombstone(key) and 0 or 1 end
-- One that has to end would forget that it has, and one that was taken would come back with
-- turn 0, which old lists may name, and with no crash on its record.
if state ~= 'ready' or entry[2] or entry[3] ~= '0' then return 0 end
-- Who sent it again, maybe to another bridge, was told that one reply settles both.
if redis.call('EXISTS', attached_key(key)) == 1 then return 0 end
redis.call('HDEL', READY, key)
forget(key)
emit('left', key)
return 1
