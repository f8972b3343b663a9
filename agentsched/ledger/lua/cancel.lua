local key, keep_s = ARGV[3], ARGV[4]

local state = fields(key, 'st')[1]
if not state and tombstone(key) then return 'answered' end
if not state then
  -- Not read yet, or only indexed: whoever admits it is told.
  redis.call('SET', cancel_key(key), 1, 'EX', keep_s)
  emit('ending', key)
elseif is_open(state) then
  mark_ending(key, 'cancelled')
end
return state or ''
