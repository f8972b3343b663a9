local key = ARGV[3]

local entry = fields(key, 'st', 'cancelled')
local state = entry[1]
if not state then return 1 end
-- A cancelled one would forget that it is.
if state ~= 'ready' or entry[2] then return 0 end
each_offset(key, function(source, offset) drop_live(key, source, offset) end)
redis.call('HDEL', READY, key)
redis.call('DEL', entry_key(key), attached_key(key))
emit('left', key)
return 1
