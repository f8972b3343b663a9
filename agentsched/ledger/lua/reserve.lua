local dispatcher, key, ring, pool = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

sweep()
if redis.call('GET', P .. ':dispatcher') ~= dispatcher then return 'not_dispatcher' end
local entry = fields(key, 'st', 'ring', 'pool', 'cls', 'ending')
if entry[1] == 'rung' and entry[2] == ring and entry[3] == pool then return 'reserved' end
if entry[1] ~= 'ready' or entry[5] or tonumber(ring) ~= entry[2] + 1 then return 'not_ready' end
if not_before(key) > NOW then return 'too_early' end
if slots_over(pool) >= 0 then return 'no_capacity' end
redis.call('HSET', entry_key(key), 'st', 'rung', 'ring', ring, 'pool', pool,
  'since', int(NOW), 'rung_again', '')
redis.call('HDEL', READY, key)
hold_slot(key, pool, '+inf')
emit('taken', key, write_slot(key, entry[4], '', pool))
return 'reserved'
