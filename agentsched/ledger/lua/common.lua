-- What every script starts with: the namespace (ARGV[1]) and the server's clock.
-- Numbers that become text go through int(): `..` would round to 14 digits.
local P = ARGV[1]
local function int(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
