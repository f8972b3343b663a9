local key, ring = ARGV[3], ARGV[4]

local entry = fields(key, 'st', 'ring', 'rung_again')
if entry[1] ~= 'rung' then return 0 end
-- The same step repeated: its first answer was lost.
if entry[3] == ring then return 1 end
if entry[2] ~= ring then return 0 end
redis.call('HSET', entry_key(key), 'ring', int(ring + 1), 'rung_again', ring,
  'since', int(NOW))
return 1
