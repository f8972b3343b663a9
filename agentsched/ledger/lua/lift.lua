local field = ARGV[2]

local lifted = redis.call('HDEL', P .. ':controls', field)
if lifted == 1 then
  raise_revision()
  wake()
end
return lifted
