-- settle.lua closes a hold: it captures what the closing in SQL charged and releases the rest.
-- KEYS[1] the account   KEYS[2] the hold   KEYS[3] the account's scopes   KEYS[4] the bucket's deadlines
-- ARGV[1] the hold's member in the deadlines   ARGV[2] what the closing charged, millicredits (0 for a void)
-- ARGV[3] the closing's generation   ARGV[4] how long the closed hold is remembered, ms
-- returns {status, captured, available, held}, status one of
--   settled   closed by this call
--   repeated  closed before; `captured` is what was captured then
--   absent    there is no such hold, and nothing is missing for it
--   unknown   the closing charged in this generation, but the gate has no such hold: load the account
--   missing   the account is not here: load it
local account = redis.call('HMGET', KEYS[1], 'generation', 'available', 'held', 'open', 'captured')
local generation = account[1]
if not generation then return {'missing', '0', '0', '0'} end
local available, held = tonumber(account[2]), tonumber(account[3])

local function int(n) return string.format('%.0f', n) end
local function answer(status, captured)
  return {status, int(captured), int(available), int(held)}
end

local hold = redis.call('HMGET', KEYS[2], 'state', 'units', 'price', 'generation', 'captured')
if hold[1] == 'closed' then return answer('repeated', tonumber(hold[5])) end

local charged = tonumber(ARGV[2])
local current = hold[1] == 'open' and hold[4] == generation
if not current and charged > 0 and ARGV[3] == generation then return answer('unknown', 0) end
if not hold[1] then
  redis.call('ZREM', KEYS[4], ARGV[1])
  return answer('absent', 0)
end

-- A full Redis refuses what takes memory, but lets a script go on that has written:
-- what takes none comes first, so that credits can be released all the same.
redis.call('ZREM', KEYS[4], ARGV[1])
local captured = 0
if current then
  local amount = tonumber(hold[2]) * tonumber(hold[3])
  -- A charge of another generation was counted by the load already.
  if ARGV[3] == generation then captured = math.min(charged, amount) end
  local released = amount - captured
  available, held = available + released, held - amount
  local fields = redis.call('HKEYS', KEYS[2])
  for _, field in ipairs(fields) do
    local scope = string.match(field, '^scope:(.*)$')
    if scope then
      local used = tonumber(redis.call('HGET', KEYS[3], scope) or '0')
      redis.call('HSET', KEYS[3], scope, int(used - released))
    end
  end
  redis.call('HSET', KEYS[1], 'available', int(available), 'held', int(held),
    'open', int(tonumber(account[4]) - 1), 'captured', int(tonumber(account[5]) + captured))
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'state', 'closed', 'captured', int(captured))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return answer('settled', captured)
