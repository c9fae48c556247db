-- hold.lua sets credits aside for up to `want` units of work, in part if need be.
-- KEYS[1] the account   KEYS[2] the hold   KEYS[3] the account's scopes   KEYS[4] the bucket's deadlines
-- ARGV[1] the hold's member in the deadlines   ARGV[2] want, ARGV[3] least: units, 1 <= least <= want
-- ARGV[4] price of a unit, millicredits >= 0   ARGV[5] life of the hold, ms
-- ARGV[6], [7], ... pairs: a scope, and the most millicredits it may use in all ('' for no limit)
-- returns {status, units, generation, available, held, grant number, price}, status one of
--   held     `units` are set aside, by this call or an earlier one with the same id
--   closed   the hold was settled already
--   refused  fewer than `least` units could be set aside; nothing was recorded
--   missing  the account is not here: load it
local account = redis.call('HMGET', KEYS[1], 'generation', 'available', 'held', 'open', 'grant', 'clock')
local generation = account[1]
if not generation then return {'missing', '0', '0', '0', '0', '0', '0'} end
local available, held, grant = tonumber(account[2]), tonumber(account[3]), account[5]

local function int(n) return string.format('%.0f', n) end
local function answer(status, units, price)
  return {status, int(units), generation, int(available), int(held), grant, int(price or 0)}
end

local hold = redis.call('HMGET', KEYS[2], 'state', 'units', 'generation', 'price')
if hold[1] == 'closed' then return answer('closed', 0) end
-- A hold of an older generation is as good as absent: the load released it.
if hold[1] == 'open' and hold[3] == generation then return answer('held', tonumber(hold[2]), tonumber(hold[4])) end

local want, least, price = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local units = want
if price > 0 then
  units = math.min(units, math.floor(available / price))
  for i = 6, #ARGV, 2 do
    if ARGV[i + 1] ~= '' then
      local used = tonumber(redis.call('HGET', KEYS[3], ARGV[i]) or '0')
      units = math.min(units, math.floor((tonumber(ARGV[i + 1]) - used) / price))
    end
  end
end
if units < least then return answer('refused', 0) end

-- The clock never runs backwards for an account, whatever the server's does.
local time = redis.call('TIME')
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(account[6]))
local amount = units * price
available, held = available - amount, held + amount

redis.call('HSET', KEYS[1], 'available', int(available), 'held', int(held),
  'open', int(tonumber(account[4]) + 1), 'clock', int(now))
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'state', 'open', 'units', int(units), 'price', int(price), 'generation', generation)
for i = 6, #ARGV, 2 do
  local used = tonumber(redis.call('HGET', KEYS[3], ARGV[i]) or '0')
  redis.call('HSET', KEYS[3], ARGV[i], int(used + amount))
  redis.call('HSET', KEYS[2], 'scope:' .. ARGV[i], '')
end
-- No TTL on the hold: a hold that expired by itself would lose the credits.
redis.call('ZADD', KEYS[4], int(now + tonumber(ARGV[5])), ARGV[1])
return answer('held', units, price)
