-- threshold.lua sets below how many credits, available and held, an account is low.
-- KEYS[1] the account
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] the threshold, millicredits
-- returns a text, one of
--   set LEVEL  LEVEL is the level that the account fell to by this call, 0 for none
--   missing    the account is not here; loading brings the threshold
--   corrupt KEY
local a, problem = accountof(KEYS[1])
if not a then return problem end
age(a, clock(a))
a.threshold = int(ARGV[3])
local fell = relevel(a, 0, false)
call('SET', KEYS[1], encode(a))
return 'set ' .. fell
