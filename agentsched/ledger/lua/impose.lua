local field, text, at_ms, only_missing, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local known = redis.call('HEXISTS', P .. ':controls', field) == 1
if known and only_missing == '1' then return 1 end
if not known and redis.call('HLEN', P .. ':controls') >= tonumber(most) then return 0 end
if at_ms == '0' then at_ms = int(NOW) end
redis.call('HSET', P .. ':controls', field, at_ms .. ' ' .. text)
raise_revision()
wake()
return 1
