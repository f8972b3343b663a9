local rows = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':bridges', '(' .. int(NOW), '+inf')) do
  local report = redis.call('GET', P .. ':report:' .. id)
  local at_ms, text = string.match(report or '', '^(%d+) (.*)$')
  rows[#rows + 1] = {id, int(at_ms and NOW - at_ms or 0), text or ''}
end
return rows
