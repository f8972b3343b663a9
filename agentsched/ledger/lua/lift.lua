local field = ARGV[2]

local lifted = redis.call('HDEL', P .. ':controls', field)
if lifted == 1 then wake() end
return lifted
