local key, keep_s = ARGV[3], ARGV[4]

local state = fields(key, 'st')[1]
if state and not is_open(state) then return state end
if state then
  redis.call('HSET', entry_key(key), 'cancelled', 1)
else
  -- Not read yet, or only indexed: whoever admits it is told.
  redis.call('SET', cancel_key(key), 1, 'EX', keep_s)
end
emit('cancelled', key)
return state or ''
