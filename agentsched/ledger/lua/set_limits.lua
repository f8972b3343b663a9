redis.call('DEL', LIMITS)
for i = 3, #ARGV, 2 do redis.call('HSET', LIMITS, ARGV[i], ARGV[i + 1]) end
raise_revision()
wake()
return 1
