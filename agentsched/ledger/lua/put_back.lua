local key, lease, earliest = ARGV[3], ARGV[4], ARGV[5]

local entry = fields(key, 'st', 'lease', 'put_back_by')
if entry[1] == 'running' and entry[2] == lease then
  redis.call('HSET', entry_key(key), 'put_back_by', lease)
  to_ready(key, earliest)
  return 1
end
-- The same step repeated: its first answer was lost.
if entry[3] == lease then return 1 end
-- The lease was voided by another's answer; its holder has let go of the slot.
local slot = slot_of(key)
if slot and slot.lease == lease then free_slot(key) end
return 0
