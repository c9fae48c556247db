-- grant.lua adds credits that SQL has recorded already. Grants, refreshes and refunds of an account are numbered
-- together and applied in order.
-- KEYS[1] the account
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] the number, from 1
-- ARGV[4] the amount, millicredits > 0   ARGV[5] the lot, [6] its class, [7] when it expires, Unix ms, 0 for never
-- returns a text, one of
--   granted LEVEL  added by this call; LEVEL is the level that the account fell to, 0 for none
--   repeated       this number, or a later one, was applied before
--   gap            an earlier number is missing here, or there is no room for the lot: load the account
--   missing        the account is not here: load it
--   corrupt KEY
local a, problem = whole(KEYS[1])
if not a then return problem end
local number, last, amount = tonumber(ARGV[3]), tonumber(a.grant), tonumber(ARGV[4])
if number <= last then return 'repeated' end
if number ~= last + 1 then return 'gap' end

age(a, clock(a))
if #a.lots >= MAXLOTS and not find(a, ARGV[5]) then return 'gap' end
a.granted, a.net, a.grant = a.granted + amount, a.net + amount, ARGV[3]
add(a, ARGV[5], ARGV[6], ARGV[7], amount)
local fell = relevel(a, 0, true)
call('SET', KEYS[1], encode(a))
return 'granted ' .. fell
