-- hold.lua sets credits aside for one or more holds of an account, each for up to `want` units of work, in part if need
-- be. They share the reading and writing of the account, which is most of the work.
-- KEYS[1] the account   KEYS[2] its scopes   KEYS[3] the bucket's deadlines   KEYS[4] and on: the holds
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] and on, for each hold:
--   its member in the deadlines
--   want, least: units, 1 <= least <= want   price of a unit, millicredits >= 0   its life, ms
--   when the work was first held for, Unix ms, '0' for now: lots that were not expired then may be used
--   the names of its counters, separated by spaces   how many they are   those names again, one by one
--   as many limits ('' for none). A counter is a scope, limited to so many millicredits held and captured, or # and a
--   scope, limited to so many thousandths of the balance held at once.
-- returns a list with a text for each hold, its first word one of
--   held UNITS GENERATION AVAILABLE PRICE OPENED LEVEL SLICES COUNTER…  set aside by this call, or by an earlier one
--     with the same id; LEVEL is the level that the account fell to by this call, 0 for none; SLICES is "lot:amount;…"
--     or "-"; the counters are those that the hold counts in
--   closed    the hold was settled already
--   refused AVAILABLE HELD GRANT WHY USED COUNTER  fewer than `least` units; nothing was recorded. WHY is credits,
--     limit or share; the last two are 0 - for credits
--   corrupt KEY
-- or one text for all: missing (the account is not here: load it) or corrupt KEY
local a, problem = accountof(KEYS[1])
if not a then return problem end
local now = clock(a)
age(a, now)
local wrote = false

local function held(units, price, opened, level, slices, counters)
  if slices == '' then slices = '-' end
  if counters ~= '' then slices = slices .. ' ' .. counters end
  return 'held ' .. units .. ' ' .. a.generation .. ' ' .. int(a.available) .. ' ' .. price .. ' ' .. opened .. ' ' ..
    level .. ' ' .. slices
end

local function refused(why, used, counter)
  if not head(a) then return corrupt(KEYS[1]) end
  return 'refused ' .. int(a.available) .. ' ' .. int(a.held) .. ' ' .. a.grant .. ' ' .. why .. ' ' .. int(used) .. ' ' .. counter
end

-- room returns how many of the units the counters leave, or nil and the answer.
local function room(units, least, price, first, n)
  for i = first, first + n - 1 do
    local name, limit, used = ARGV[i], ARGV[i + n], count(ARGV[i])
    if not used then return nil, corrupt(KEYS[2]) end
    if limit ~= '' and price > 0 then
      local why, most = 'limit', limit + 0
      if match(name, '^#') then
        why, most = 'share', math.max(price, math.floor((a.available + a.held) * limit / 1000))
      end
      units = math.min(units, math.floor((most - used) / price))
      if units < least then return nil, refused(why, used, name) end
    end
  end
  return units
end

-- take moves an amount from what lots have free to what they hold, and returns the slices.
local function take(amount, opened)
  local slices = ''
  for i = 1, #a.lots do
    local lot = a.lots[i]
    local part = live(lot, opened) and math.min(amount, lot.free) or 0
    if part > 0 then
      lot.free, lot.held, amount = lot.free - part, lot.held + part, amount - part
      if live(lot, now) then a.available = a.available - part else lapse(a, -part) end
      slices = slices .. (slices == '' and '' or ';') .. lot.id .. ':' .. int(part)
    end
  end
  return slices
end

-- one sets aside for the hold in KEYS[i], whose arguments begin at ARGV[at].
local function one(i, at)
  local h, unread = holdof(KEYS[i])
  if unread then return unread end
  if h and h.closed then return 'closed' end
  -- A hold of an older generation is as good as absent: the load released it.
  if h and h.generation == a.generation then return held(h.units, h.price, h.opened, '0', h.slices, h.counters) end

  local units, least, price, opened, n = ARGV[at + 1] + 0, ARGV[at + 2] + 0, ARGV[at + 3] + 0, now, ARGV[at + 7] + 0
  if ARGV[at + 5] ~= '0' then opened = math.min(now, ARGV[at + 5] + 0) end
  if price > 0 then
    local usable = 0
    for l = 1, #a.lots do
      if live(a.lots[l], opened) then usable = usable + a.lots[l].free end
    end
    units = math.min(units, math.floor(usable / price))
    if units < least then return refused('credits', 0, '-') end
  end
  local answer
  units, answer = room(units, least, price, at + 8, n)
  if not units then return answer end

  -- No TTL on the hold: one that expired by itself would lose the credits.
  answer = due('ZADD', KEYS[3], int(math.min(now + ARGV[at + 4], opened + LONGEST)), ARGV[at])
  if answer then return answer end
  local amount = units * price
  local slices = take(amount, opened)
  a.held, a.open, wrote = a.held + amount, a.open + 1, true
  local fell = relevel(a, price)
  units, opened = int(units), int(opened)
  call('SET', KEYS[i], 'o ' .. a.generation .. ' ' .. units .. ' ' .. ARGV[at + 3] .. ' ' .. opened .. '|' .. slices .. '|' .. ARGV[at + 6])
  for c = at + 8, at + 7 + n do recount(ARGV[c], counts[ARGV[c]] + amount) end
  return held(units, ARGV[at + 3], opened, fell, slices, ARGV[at + 6])
end

local answers, at = {}, 3
for i = 4, #KEYS do
  answers[i - 3] = one(i, at)
  at = at + 8 + 2 * ARGV[at + 7]
end
if wrote then keep(a) end
return answers
