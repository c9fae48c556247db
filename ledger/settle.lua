-- settle.lua closes a hold: it captures what the closing in SQL charged and releases the rest.
-- KEYS[1] the account   KEYS[2] the hold   KEYS[3] the account's scopes   KEYS[4] the bucket's deadlines
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] the hold's member in the deadlines
-- ARGV[4] what the closing charged, millicredits (0 for a void)   ARGV[5] the closing's generation
-- ARGV[6] how long the closed hold is remembered, ms
-- returns a text, its first word one of
--   settled CAPTURED LEVEL   closed by this call; LEVEL is the level that the account fell to, 0 for none
--   repeated CAPTURED 0      closed before; CAPTURED is what was captured then
--   absent                   there is no such hold, and nothing is missing for it
--   unknown                  the closing charged in this generation, but the gate has no such hold: load the account
--   missing                  the account is not here: load it
-- or an error CORRUPT
local values = call('MGET', KEYS[1], KEYS[2])
local a, problem = accountof(values[1], KEYS[1])
if not a then return problem end
local h
h, problem = holdof(values[2] or redis.pcall('GET', KEYS[2]), KEYS[2])
if problem then return problem end
if h and h.closed then return 'repeated ' .. h.captured .. ' 0' end

local charged = ARGV[4] + 0
local current = h and h.generation == a.generation
if not current and charged > 0 and ARGV[5] == a.generation then return 'unknown' end
if not h then
  call('ZREM', KEYS[4], ARGV[3])
  return 'absent'
end

local captured, amount, fell, counts = 0, 0, 0, {}
if current then
  age(a, clock(a))
  -- A charge of another generation was counted by the load already. What is charged burns the slices in their order.
  local left = ARGV[5] == a.generation and charged or 0
  for id, text in string.gmatch(h.slices, '(%d+):(%d+)') do
    local lot, part = find(a, id), counted(text)
    if not lot or not part or lot.held < part then return corrupt(KEYS[2]) end
    local taken = math.min(left, part)
    left, captured, amount = left - taken, captured + taken, amount + part
    lot.held, lot.free = lot.held - part, lot.free + part - taken
    if live(lot, a.clock) then a.available = a.available + part - taken else a.expired = a.expired + part - taken end
  end
  a.held, a.open, a.captured = a.held - amount, a.open - 1, a.captured + captured
  if a.open < 0 then return corrupt(KEYS[1]) end
  fell = relevel(a, h.price + 0, false)
  -- A counter of what is held goes down by the whole hold, one of what is spent by what was not charged.
  if captured < amount or string.find(h.scopes, '#', 1, true) then
    for name in string.gmatch(h.scopes, '%S+') do
      local value = counted(redis.pcall('HGET', KEYS[3], name))
      if not value then return corrupt(KEYS[3]) end
      local less = match(name, '^#') and amount or amount - captured
      counts[#counts + 1] = name
      counts[#counts + 1] = int(math.max(0, value - less))
    end
  end
end

-- A full Redis refuses what takes memory, but lets a script go on that has written:
-- what takes none comes first, so that credits can be released all the same.
call('ZREM', KEYS[4], ARGV[3])
if current then call('SET', KEYS[1], encode(a)) end
if counts[1] then call('HSET', KEYS[3], unpack(counts)) end
call('SET', KEYS[2], 'c ' .. int(captured), 'PX', ARGV[6])
return 'settled ' .. int(captured) .. ' ' .. fell
