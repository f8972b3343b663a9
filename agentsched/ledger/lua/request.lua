local key = ARGV[3]

local entry = fields(key, 'st', 'facts', 'payload', 'starts')
local state = entry[1]
if state ~= 'ready' and state ~= 'rung' and state ~= 'running' then return {} end
return {state, entry[2], entry[3], entry[4] or '0'}
