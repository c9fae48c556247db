-- hold.lua sets credits aside for up to `want` units of work, in part if need be.
-- KEYS[1] the account   KEYS[2] the hold   KEYS[3] the account's scopes   KEYS[4] the bucket's deadlines
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] the hold's member in the deadlines
-- ARGV[4] want, ARGV[5] least: units, 1 <= least <= want   ARGV[6] price of a unit, millicredits >= 0
-- ARGV[7] life of the hold, ms   ARGV[8] when the work was first held for, Unix ms, '0' for now: lots that were not
--   expired then may be used
-- ARGV[9] the names of the hold's counters, separated by spaces   ARGV[10] and on: those names again, one by one, and
--   then as many limits ('' for none). A counter is a scope, limited to so many millicredits held and captured, or #
--   and a scope, limited to so many thousandths of the balance held at once.
-- returns a text, its first word one of
--   held UNITS GENERATION AVAILABLE PRICE OPENED LEVEL SLICES  set aside by this call, or by an earlier one with the
--     same id; LEVEL is the level that the account fell to by this call, 0 for none; SLICES is "lot:amount;…" or "-"
--   closed    the hold was settled already
--   refused AVAILABLE HELD GRANT WHY USED COUNTER  fewer than `least` units; nothing was recorded. WHY is credits,
--     limit or share; the last two are 0 - for credits
--   missing   the account is not here: load it
-- or an error CORRUPT
local values = call('MGET', KEYS[1], KEYS[2])
local a, problem = accountof(values[1], KEYS[1])
if not a then return problem end
local h
h, problem = holdof(values[2], KEYS[2])
if problem then return problem end
if h and h.closed then return 'closed' end

local function held(units, price, opened, level, slices)
  if slices == '' then slices = '-' end
  return format('held %s %s %d %s %s %s %s', units, a.generation, a.available, price, opened, level, slices)
end
-- A hold of an older generation is as good as absent: the load released it.
if h and h.generation == a.generation then return held(h.units, h.price, h.opened, '0', h.slices) end

local want, least, price = ARGV[4] + 0, ARGV[5] + 0, ARGV[6] + 0
local now = clock(a)
age(a, now)
local lots, opened, usable = a.lots, ARGV[8] + 0, 0
if opened == 0 or opened > now then opened = now end
for i = 1, #lots do
  if live(lots[i], opened) then usable = usable + lots[i].free end
end

local function refused(why, used, counter)
  return format('refused %d %d %s %s %d %s', a.available, a.held, a.grant, why, used, counter)
end
local units, counters = want, (#ARGV - 9) / 2
if price > 0 then
  units = math.min(units, math.floor(usable / price))
  if units < least then return refused('credits', 0, '-') end
end
if counters > 0 then
  values = redis.pcall('HMGET', KEYS[3], unpack(ARGV, 10, 9 + counters))
  if values.err then return corrupt(KEYS[3]) end
  for i = 1, counters do
    local name, limit, used = ARGV[9 + i], ARGV[9 + counters + i], counted(values[i])
    if not used then return corrupt(KEYS[3]) end
    values[i] = used
    if limit ~= '' and price > 0 then
      local why, most = 'limit', limit + 0
      if match(name, '^#') then
        why, most = 'share', math.max(price, math.floor((a.available + a.held) * limit / 1000))
      end
      units = math.min(units, math.floor((most - used) / price))
      if units < least then return refused(why, used, name) end
    end
  end
end

local amount = units * price
local left, slices = amount, ''
for i = 1, #lots do
  local lot = lots[i]
  local part = live(lot, opened) and math.min(left, lot.free) or 0
  if part > 0 then
    lot.free, lot.held, left = lot.free - part, lot.held + part, left - part
    if live(lot, now) then a.available = a.available - part else a.expired = a.expired - part end
    slices = slices .. (slices == '' and '' or ';') .. lot.id .. ':' .. int(part)
  end
end
a.held, a.open = a.held + amount, a.open + 1
local fell = relevel(a, price, false)
units, opened = int(units), int(opened)

-- No TTL on the hold: a hold that expired by itself would lose the credits. MGET takes a key of another type for one
-- that is not there; SET does not.
local record = 'o ' .. a.generation .. ' ' .. units .. ' ' .. ARGV[6] .. ' ' .. opened .. '|' .. slices .. '|' .. ARGV[9]
if h then
  call('SET', KEYS[2], record)
elseif not call('SET', KEYS[2], record, 'NX') then
  return corrupt(KEYS[2])
end
if counters > 0 then
  local counts = {}
  for i = 1, counters do
    counts[2 * i - 1] = ARGV[9 + i]
    counts[2 * i] = int(values[i] + amount)
  end
  call('HSET', KEYS[3], unpack(counts))
end
call('ZADD', KEYS[4], int(math.min(now + ARGV[7], opened + LONGEST)), ARGV[3])
call('SET', KEYS[1], encode(a))
return held(units, ARGV[6], opened, fell, slices)
