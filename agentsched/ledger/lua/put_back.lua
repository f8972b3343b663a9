local key, lease, delay_ms, why, crashes_most = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local entry = fields(key, 'st', 'lease', 'put_back_by')
if entry[1] == 'running' and entry[2] == lease then
  redis.call('HSET', entry_key(key), 'put_back_by', lease)
  if why == 'unstarted' then redis.call('HINCRBY', entry_key(key), 'starts', -1) end
  to_ready(key, int(tonumber(delay_ms) > 0 and NOW + delay_ms or 0))
  if why == 'crashed' then
    local alone = redis.call('HINCRBY', entry_key(key), 'crashes_alone', 1)
    if alone >= tonumber(crashes_most) then mark_ending(key, 'poison') end
  end
  return 1
end
-- The same step repeated: its first answer was lost.
if entry[3] == lease then return 1 end
-- The lease was voided by another's answer; its holder has let go of the slot.
local slot = slot_of(key)
if slot and slot.lease == lease then free_slot(key) end
return 0
