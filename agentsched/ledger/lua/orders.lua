local bridge = ARGV[3]

local open = {}
local asked = redis.call('ZRANGEBYSCORE', P .. ':questions', '(' .. int(NOW), '+inf')
for _, text in ipairs(asked) do
  local id = string.match(text, '^%x+')
  if redis.call('HEXISTS', P .. ':findings:' .. id, bridge) == 0 then
    open[#open + 1] = text
  end
end
return {redis.call('HGETALL', P .. ':controls'), open,
  redis.call('GET', P .. ':revision') or '0'}
