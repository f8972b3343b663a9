local key = ARGV[3]

local entry = fields(key, 'st', 'facts', 'reply', 'hash')
if entry[1] ~= 'done' then return {} end
return {entry[2], entry[3], entry[4]}
