-- refresh.lua ends a billing cycle: what is free of the old lots expires and the new grant arrives, in one step.
-- What is held of an old lot stays held; what of it is released later expires then.
-- KEYS[1] the account
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] the number, as of a grant
-- ARGV[4] the amount, millicredits > 0   ARGV[5] the lot, [6] its class, [7] when it expires, Unix ms, 0 for never
-- ARGV[8] when the old lots end, Unix ms   ARGV[9], [10], ... the old lots
-- returns what grant.lua returns
local a, problem = whole(KEYS[1])
if not a then return problem end
local number, last, amount = tonumber(ARGV[3]), tonumber(a.grant), tonumber(ARGV[4])
if number <= last then return 'repeated' end
if number ~= last + 1 then return 'gap' end

local now = clock(a)
age(a, now)
local ends = math.min(tonumber(ARGV[8]), now)
for i = 9, #ARGV do
  local lot = find(a, ARGV[i])
  if lot and live(lot, now) then
    lot.expires = ends
    a.available = a.available - lot.free
    lapse(a, lot.free)
  end
end
table.sort(a.lots, before)
if #a.lots >= MAXLOTS and not find(a, ARGV[5]) then return 'gap' end
a.granted, a.net, a.grant = a.granted + amount, a.net + amount, ARGV[3]
add(a, ARGV[5], ARGV[6], ARGV[7], amount)
local fell = relevel(a, 0, true)
call('SET', KEYS[1], encode(a))
return 'granted ' .. fell
