redis.call('DEL', LIMITS)
for i = 3, #ARGV, 2 do redis.call('HSET', LIMITS, ARGV[i], ARGV[i + 1]) end
return 1
