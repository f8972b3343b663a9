local views = {}
for i = 3, #ARGV do
  local entry = fields(ARGV[i], 'st', 'turn', 'since', 'lease_end', 'pool', 'deadline',
    'ending', 'hash', 'starts', 'ring')
  local state = entry[1]
  if not state then
    local tomb = tombstone(ARGV[i])
    views[#views + 1] = tomb
      and {'answered', int(NOW - tomb.since), '0', '', '0', '',
        string.format('%08x%08x', struct.unpack('>I4I4', tomb.hash)), '0', '0'} or {}
  else
    local running = state == 'running'
    views[#views + 1] = {state, int(NOW - entry[3]),
      int(running and entry[4] - NOW or 0),
      running and entry[5] or '',
      int(entry[6] and NOW - entry[6] or 0), entry[7] or '',
      string.sub(entry[8] or '', 1, 16), entry[9] or '0', turn_of(entry[2], entry[10])}
  end
end
return views
