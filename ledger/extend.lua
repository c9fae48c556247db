-- extend.lua puts off the deadline of a hold, though never beyond the longest life of a hold: the books count on it.
-- KEYS[1] the account   KEYS[2] the hold   KEYS[3] the bucket's deadlines
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] the hold's member in the deadlines
-- ARGV[4] life from now, ms
-- returns a text, its first word one of
--   extended DEADLINE  in Unix ms; never earlier than it was
--   closed             the hold was settled already
--   absent             there is no such hold in this generation
--   missing            the account is not here: load it
--   corrupt KEY
local a, problem = accountof(KEYS[1])
if not a then return problem end
local h
h, problem = holdof(KEYS[2])
if problem then return problem end
if not h or not h.closed and h.generation ~= a.generation then return 'absent' end
if h.closed then return 'closed' end
local deadline = math.min(clock(a) + tonumber(ARGV[4]), tonumber(h.opened) + LONGEST)
local known
problem, known = due('ZSCORE', KEYS[3], ARGV[3])
if problem then return problem end
deadline = math.max(deadline, tonumber(known or '0'))
call('ZADD', KEYS[3], int(deadline), ARGV[3])
return 'extended ' .. int(deadline)
