-- refund.lua gives back credits that were captured, to the lots that SQL has put them into.
-- KEYS[1] the account
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] the number, as of a grant
-- ARGV[4], [5], [6], [7], ... fours: a lot, its class, when it expires (Unix ms, 0 for never), millicredits > 0
-- returns what grant.lua returns; gap also if less was captured here than is given back: load the account
local a, problem = whole(KEYS[1])
if not a then return problem end
local number, last = tonumber(ARGV[3]), tonumber(a.grant)
if number <= last then return 'repeated' end
if number ~= last + 1 then return 'gap' end

age(a, clock(a))
for i = 4, #ARGV, 4 do
  a.captured = a.captured - tonumber(ARGV[i + 3])
  add(a, ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]))
end
-- The charge may not have been settled yet.
if a.captured < 0 or #a.lots > MAXLOTS then return 'gap' end
a.grant = ARGV[3]
local fell = relevel(a, 0, true)
call('SET', KEYS[1], encode(a))
return 'granted ' .. fell
