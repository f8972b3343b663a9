local key, reply_at = ARGV[3], ARGV[4]

local entry = fields(key, 'st', 'hash', 'source', 'offset', 'winner', 'ring', 'lease')
local state = entry[1]
if state == 'answered' then return 1 end
if not state then return 0 end
-- The ledger has lost the reply, and Kafka has it: nothing of this may run again.
if is_open(state) then stop_work(key, state, entry[7]) end
each_offset(key, function(source, offset)
  drop_live(key, source, offset)
  mark_done(key, source, offset)
end)
-- What stays is a tombstone against duplicates.
redis.call('DEL', entry_key(key))
redis.call('HSET', entry_key(key), 'st', 'answered', 'hash', entry[2], 'source', entry[3],
  'offset', entry[4], 'winner', entry[5] or '', 'ring', entry[6], 'reply_at', reply_at,
  'since', int(NOW))
local horizon_s = limit('horizon_s', 3600)
redis.call('EXPIRE', entry_key(key), horizon_s)
redis.call('EXPIRE', attached_key(key), horizon_s)
return 1
