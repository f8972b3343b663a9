local key, by, reply = ARGV[3], ARGV[4], ARGV[5]
local called, failed, model_ms = ARGV[6] == '1', ARGV[7], ARGV[8]

local won = complete(key, by, reply, called, failed, model_ms, false)
write_endings()
return won
