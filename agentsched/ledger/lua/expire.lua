local key = ARGV[3]

local entry = fields(key, 'st', 'lease_end')
if entry[1] ~= 'running' or tonumber(entry[2]) > NOW then return 0 end
redis.call('HINCRBY', entry_key(key), 'crashes', 1)
to_ready(key, '0')
return 1
