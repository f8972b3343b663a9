local key = ARGV[3]

local entry = fields(key, 'st', 'facts', 'pool', 'reply_at', 'ending', 'since',
  'starts', 'crashes', 'lease_end', 'deadline')
local state = entry[1]
if not state then
  local tomb = tombstone(key)
  if not tomb then return {} end
  return {'answered', '', '', reply_at_of(tomb), '', int(NOW - tomb.since), '0', '0', '0',
    '0', '0'}
end
return {state, entry[2] or '', state == 'running' and entry[3] or '', entry[4] or '',
  entry[5] or '', int(NOW - entry[6]), entry[7] or '0', entry[8] or '0',
  int(state == 'running' and entry[9] - NOW or 0),
  int(state == 'ready' and not_before(key) - NOW or 0),
  int(entry[10] and entry[10] - NOW or 0)}
