-- grant.lua adds credits that SQL has recorded already. Grants of an account are numbered and applied in order.
-- KEYS[1] the account
-- ARGV[1] the grant's number, from 1   ARGV[2] its amount, millicredits > 0
-- returns one of
--   granted   added by this call
--   repeated  this grant, or a later one, was applied before
--   gap       an earlier grant is missing here: load the account
--   missing   the account is not here: load it
local account = redis.call('HMGET', KEYS[1], 'generation', 'grant', 'granted', 'available')
if not account[1] then return 'missing' end
local number, last, amount = tonumber(ARGV[1]), tonumber(account[2]), tonumber(ARGV[2])
if number <= last then return 'repeated' end
if number ~= last + 1 then return 'gap' end

local function int(n) return string.format('%.0f', n) end
redis.call('HSET', KEYS[1], 'grant', int(number), 'granted', int(tonumber(account[3]) + amount),
  'available', int(tonumber(account[4]) + amount))
return 'granted'
