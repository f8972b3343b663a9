local key, reply_at = ARGV[3], ARGV[4]

local entry = fields(key, 'st', 'hash', 'source', 'offset', 'winner', 'lease')
local state = entry[1]
if state == 'answered' then return 1 end
if not state then return tombstone(key) and 1 or 0 end
-- The ledger has lost the reply, and Kafka has it: nothing of this may run again.
if is_open(state) then stop_work(key, state, entry[6]) end
each_offset(key, function(source, offset)
  drop_live(key, source, offset)
  mark_done(key, source, offset)
end)
redis.call('DEL', entry_key(key), attached_key(key))
bury(key, entry[2], entry[5] or '', entry[3], entry[4], reply_at)
return 1
