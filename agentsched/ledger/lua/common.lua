-- What every script starts with: the namespace (ARGV[1]) and the server's clock.
-- Numbers that become text go through int(): `..` would round to 14 digits.
local P = ARGV[1]
local function int(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
-- HASH id, count, born, fresh: the epoch and how far it has got.
local EPOCH_KEY = P .. ':epoch'
-- Tells every bridge through the change log that a control or a question is new.
local function wake()
  local epoch = redis.call('HGET', EPOCH_KEY, 'id')
  if not epoch then return end
  redis.call('XADD', P .. ':' .. epoch .. ':changes', 'MAXLEN', '~', 100000, '*',
    'kind', 'orders', 'key', '')
end
