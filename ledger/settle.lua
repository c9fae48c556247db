-- settle.lua closes one or more holds of an account, each by what its closing in SQL charged: it captures that and
-- releases the rest.
-- KEYS[1] the account   KEYS[2] its scopes   KEYS[3] the bucket's deadlines   KEYS[4] and on: the holds
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] and on, for each hold:
--   its member in the deadlines
--   what the closing charged, millicredits (0 for a void)   the closing's generation
--   how long the closed hold is remembered, ms
-- returns a list with a text for each hold, its first word one of
--   settled CAPTURED LEVEL   closed by this call; LEVEL is the level that the account fell to, 0 for none
--   repeated CAPTURED 0      closed before; CAPTURED is what was captured then
--   absent                   there is no such hold, and nothing is missing for it
--   unknown                  the closing charged in this generation, but the gate has no such hold: load the account
--   corrupt KEY
-- or one text for all: missing (the account is not here: load it) or corrupt KEY
local a, problem = accountof(KEYS[1])
if not a then return problem end
local wrote = false

-- slicesof reads the slices of a hold, pairs of a lot and an amount, and their sum; nil if the account does not have
-- them.
local function slicesof(h)
  local slices, sum = {}, 0
  for id, text in string.gmatch(h.slices, '(%d+):(%d+)') do
    local amount, lot = number(text), nil
    for i = 1, #a.lots do
      if a.lots[i].id == id then lot = a.lots[i] end
    end
    if not lot or not amount or lot.held < amount then return nil end
    slices[#slices + 1], slices[#slices + 2] = lot, amount
    sum = sum + amount
  end
  return slices, sum
end

-- spend burns an amount from the slices, in their order, and gives the rest of them back.
local function spend(slices, amount)
  for i = 1, #slices, 2 do
    local lot, part = slices[i], slices[i + 1]
    local taken = math.min(amount, part)
    amount = amount - taken
    lot.held, lot.free = lot.held - part, lot.free + part - taken
    if live(lot, a.clock) then a.available = a.available + part - taken else lapse(a, part - taken) end
  end
end

-- counters calls fn for each counter of a hold that changes when so much of it is captured, with by how much: one of what
-- is held goes down by the whole hold, one of what is spent by what was not captured. It stops when fn returns false.
local function counters(h, amount, captured, fn)
  if captured == amount and not string.find(h.counters, '#', 1, true) then return true end
  for name in string.gmatch(h.counters, '%S+') do
    if not fn(name, match(name, '^#') and amount or amount - captured) then return false end
  end
  return true
end

local function less(name, amount)
  recount(name, math.max(0, counts[name] - amount))
  return true
end

-- one settles the hold in KEYS[i], whose arguments begin at ARGV[at].
local function one(i, at)
  local h, unread = holdof(KEYS[i])
  if unread then return unread end
  if h and h.closed then return 'repeated ' .. h.captured .. ' 0' end
  local charged, generation = ARGV[at + 1] + 0, ARGV[at + 2]
  local current = h and h.generation == a.generation
  if not current and charged > 0 and generation == a.generation then return 'unknown' end

  local captured, amount, fell, slices = 0, 0, '0', nil
  if current then
    if a.open < 1 then return corrupt(KEYS[1]) end
    slices, amount = slicesof(h)
    if not slices then return corrupt(KEYS[i]) end
    -- A charge of another generation was counted by the load already.
    if generation == a.generation then captured = math.min(charged, amount) end
    if not counters(h, amount, captured, count) then return corrupt(KEYS[2]) end
  end
  -- A full Redis refuses what takes memory, but lets a script go on that has written: what takes none comes first, so that
  -- credits can be released all the same.
  local spoilt = due('ZREM', KEYS[3], ARGV[at])
  if spoilt then return spoilt end
  if current then
    spend(slices, captured)
    a.held, a.open, a.captured, wrote = a.held - amount, a.open - 1, a.captured + captured, true
    fell = relevel(a, h.price + 0)
    counters(h, amount, captured, less)
  end
  if not h then return 'absent' end
  captured = int(captured)
  call('SET', KEYS[i], 'c ' .. captured, 'PX', ARGV[at + 3])
  return 'settled ' .. captured .. ' ' .. fell
end

age(a, clock(a))
local answers, at = {}, 3
for i = 4, #KEYS do
  answers[i - 3], at = one(i, at), at + 4
end
if wrote then keep(a) end
return answers
