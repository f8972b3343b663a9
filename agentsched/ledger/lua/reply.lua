local key = ARGV[3]

local entry = fields(key, 'st', 'facts', 'reply')
if entry[1] ~= 'done' then return {} end
return {entry[2], entry[3]}
