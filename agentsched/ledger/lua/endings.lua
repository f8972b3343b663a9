-- How a start ends: completed, put back, published. What a bridge calls one by one and what
-- a turn does many of are the same functions; `write_endings` ends them.
local totals = {}                      -- model -> calls, failed, milliseconds
local let_go = {}                      -- keys whose slot is free

local function count(pool, called, failed, model_ms)
  if not called or (pool or '') == '' then return end
  local model = model_of(pool)
  local sums = totals[model] or {0, 0, 0}
  totals[model] = {sums[1] + 1, sums[2] + failed, sums[3] + model_ms}
end

local function write_endings()
  for model, sums in pairs(totals) do
    redis.call('HINCRBY', totals_key(model), 'calls', sums[1])
    redis.call('HINCRBY', totals_key(model), 'failed', sums[2])
    redis.call('HINCRBY', totals_key(model), 'model_ms', int(sums[3]))
  end
  if let_go[1] then
    redis.call('ZREM', INFLIGHT, unpack(let_go))
    redis.call('HDEL', SLOTS, unpack(let_go))
  end
  totals, let_go = {}, {}
end

-- `by` says whose reply this is: "lease:" and the lease_id, or "reply:" and the hash.
local function complete(key, by, reply, called, failed, model_ms, keeps_slot)
  local lease = string.match(by, '^lease:(.*)$')
  local entry = fields(key, 'st', 'lease', 'pool', 'winner', 'cls', 'lease_end')
  local state, pool = entry[1], entry[3]
  local open = is_open(state)
  if open and (not lease or (state == 'running' and entry[2] == lease)) then
    if not lease then
      stop_work(key, state, entry[2])
    elseif not keeps_slot then
      -- Once the lease is over it may have been swept.
      if tonumber(entry[6]) <= NOW then
        free_slot(key)
      else
        redis.call('ZREM', pool_key(pool), key)
        let_go[#let_go + 1] = key
        emit('freed', key, slot_text(entry[5], lease, pool))
      end
    end
    redis.call('HSET', entry_key(key), 'st', 'done', 'since', int(NOW), 'reply', reply,
      'winner', by, 'lease', '', 'payload', '')
    count(pool, called, failed, model_ms)
    return 1
  end
  local tomb = not state and tombstone(key)
  if tomb and tomb.winner == winner_half(by) then return 1 end
  if state and not open and entry[4] == by then return 1 end
  -- The lease was voided by another's answer; its call ends here all the same.
  local slot = lease and slot_of(key)
  if slot and slot.lease == lease then
    free_slot(key)
    count(slot.pool, called, failed, model_ms)
  end
  return 0
end

local function put_back(key, lease, delay_ms, why, crashes_most)
  local entry = fields(key, 'st', 'lease', 'put_back_by')
  if entry[1] == 'running' and entry[2] == lease then
    redis.call('HSET', entry_key(key), 'put_back_by', lease)
    if why == 'unstarted' then redis.call('HINCRBY', entry_key(key), 'starts', -1) end
    to_ready(key, int(tonumber(delay_ms) > 0 and NOW + delay_ms or 0))
    if why == 'crashed' then
      local alone = redis.call('HINCRBY', entry_key(key), 'crashes_alone', 1)
      if alone >= tonumber(crashes_most) then mark_ending(key, 'poison') end
    end
    return 1
  end
  -- The same step repeated: its first answer was lost.
  if entry[3] == lease then return 1 end
  -- The lease was voided by another's answer; its holder has let go of the slot.
  local slot = slot_of(key)
  if slot and slot.lease == lease then free_slot(key) end
  return 0
end

local function published(key, reply_at)
  local entry = fields(key, 'st', 'hash', 'source', 'offset', 'winner', 'lease')
  local state = entry[1]
  if state == 'answered' then return 1 end
  if not state then return tombstone(key) and 1 or 0 end
  -- The ledger has lost the reply, and Kafka has it: nothing of this may run again.
  if is_open(state) then stop_work(key, state, entry[6]) end
  each_offset(key, entry[3], entry[4], function(source, offset)
    drop_live(key, source, offset)
    mark_done(key, source, offset)
  end)
  redis.call('DEL', entry_key(key), attached_key(key))
  bury(key, entry[2], entry[5] or '', entry[3], entry[4], reply_at)
  return 1
end
