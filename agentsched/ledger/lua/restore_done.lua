local source, block, bitmap = ARGV[3], ARGV[4], ARGV[5]

local name, beside = block_key(source, block), block_key(source, block) .. ':new'
redis.call('SET', beside, bitmap)
redis.call('BITOP', 'OR', name, name, beside)
redis.call('DEL', beside)
redis.call('ZADD', blocks_key(source), block, block)
return 1
