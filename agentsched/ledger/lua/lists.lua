-- What `plan` writes and `turn` reads. A list is void unless its dispatcher leads and its
-- revision is in force.
local PLANS = ROOT .. 'plan'           -- HASH dispatcher -> number of its last plan
local MAX_PLANS = 64                   -- dispatchers of one epoch that are remembered
local TURNS = ROOT .. 'turns'          -- HASH worker -> number \n key \n lease \n key ...
-- LIST of members, first come first: "order turn key hash".
local function list_key(pool) return ROOT .. 'next:' .. pool end
-- HASH endpoint -> "revision dispatcher".
local function lists_key(model) return ROOT .. 'lists:' .. model end
local function is_live(worker)
  return tonumber(redis.call('ZSCORE', P .. ':workers', worker) or 0) > NOW
end
