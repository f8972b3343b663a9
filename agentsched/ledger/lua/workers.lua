local rows = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':workers', '(' .. int(NOW), '+inf')) do
  rows[#rows + 1] = {id, redis.call('HGET', P .. ':workers:slots', id) or '{}',
    redis.call('HGET', P .. ':workers:http', id) or ''}
end
return rows
