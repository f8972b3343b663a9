local key, ring = ARGV[3], ARGV[4]

local entry = fields(key, 'st', 'ring')
if entry[2] ~= ring or ring == '0' then return 0 end
if entry[1] == 'ready' then return 1 end
if entry[1] ~= 'rung' then return 0 end
to_ready(key, '0')
return 1
