local lease_ms = ARGV[3]

sweep()
local renewed = {}
for i = 4, #ARGV, 2 do
  local key, lease = ARGV[i], ARGV[i + 1]
  local entry = fields(key, 'st', 'lease', 'lease_end', 'pool')
  if entry[1] == 'running' and entry[2] == lease and tonumber(entry[3]) > NOW then
    local ends = int(NOW + lease_ms)
    redis.call('HSET', entry_key(key), 'lease_end', ends)
    hold_slot(key, entry[4], ends)
    renewed[#renewed + 1] = 1
  else
    renewed[#renewed + 1] = 0
  end
end
return renewed
