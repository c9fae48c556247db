-- account.lua is put before every other script: it reads, ages and writes an account.
-- It uses no keys of its own and no ARGV but ARGV[1], the epoch, and ARGV[2], the time in Unix ms ('' for the
-- server's); LONGEST, the longest life of a hold in ms, is put before it. By itself it returns nothing.
--
-- An account is one string, so that a script reads and writes it in one call each:
--   2 epoch generation grant granted expired revoked|threshold level net captured open clock
-- and then its lots in burn order, each ";id:class:expires:free:held". The 2 is the format: an account of another
-- format is missing, and loading writes it anew. net is granted - expired - revoked.
--
-- `free` of a lot that expired at `clock` or before is counted in `expired`, of the others in `available`, which is
-- their sum, as `held` is that of what lots hold. Turning numbers into texts and back is most of a script's work: what
-- changes seldom stays a text, and what stands before the | is only taken apart by head().
local FORMAT = '^2 (%d+) (%d+) ([%d ]+)|(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)()'
local LOT = '^;(%d+):(%d+):(%d+):(%d+):(%d+)()'

-- No number of ours is larger than a double can hold, or has more digits.
local MOST, DIGITS = 2 ^ 53, 16

local match, format, call = string.match, string.format, redis.call

local function int(n) return format('%d', n) end

-- corrupt is the answer of a script that found what no script wrote. It has changed nothing.
local function corrupt(key) return 'corrupt ' .. key end

local function live(lot, now) return lot.expires == 0 or lot.expires > now end

-- head takes apart what changes seldom, for who needs or changes it; false means that it does not add up.
local function head(a)
  if a.granted then return true end
  local grant, granted, expired, revoked = match(a.head, '^(%d+) (%d+) (%d+) (%d+)$')
  if not grant or #a.head > 4 * DIGITS + 3 then return false end
  a.grant, a.granted, a.expired, a.revoked = grant, granted + 0, expired + 0, revoked + 0
  return a.granted < MOST and a.granted == a.net + a.expired + a.revoked
end

-- decode returns nil for a text that is no account, or one that does not add up: an amount that is too large for a
-- double is a mistake of ours or a broken value.
local function decode(text)
  local epoch, generation, rest, threshold, level, net, captured, open, clock, at = match(text, FORMAT)
  if not at or at > 14 * (DIGITS + 1) or #level > 1 or level + 0 > 2 then return nil end
  clock, net = clock + 0, net + 0
  local lots, length, available, lapsed, held, timed = {}, #text, 0, 0, 0, false
  while at <= length do
    local id, class, expires, free, lotheld, next = match(text, LOT, at)
    if not id or next - at > 5 * (DIGITS + 1) then return nil end
    local lot = {id = id, class = class, expires = expires + 0, free = free + 0, held = lotheld + 0}
    if live(lot, clock) then available = available + lot.free else lapsed = lapsed + lot.free end
    held, timed = held + lot.held, timed or lot.expires ~= 0
    lots[#lots + 1] = lot
    at = next
  end
  local a = {epoch = epoch, generation = generation, head = rest, threshold = threshold, level = level, net = net,
    captured = captured + 0, available = available, held = held, open = open + 0, clock = clock, lots = lots}
  if net < MOST and clock < MOST and a.open < MOST and #threshold <= DIGITS and net == available + held + a.captured
    and (not timed or head(a) and lapsed <= a.expired) then
    return a
  end
end

-- accountof returns the account, or nil and the script's answer.
local function accountof(key)
  local text = redis.pcall('GET', key)
  if not text then return nil, 'missing' end
  if type(text) ~= 'string' then return nil, corrupt(key) end
  local a = decode(text)
  if not a then
    local other = match(text, '^(%d+) ')
    if other and other ~= '2' then return nil, 'missing' end
    return nil, corrupt(key)
  end
  -- After a failover of Redis nothing that an older epoch wrote counts.
  if a.epoch ~= ARGV[1] and a.epoch + 0 < ARGV[1] + 0 then return nil, 'missing' end
  return a
end

-- The clock of an account never runs backwards, whatever the server's does.
local function clock(a)
  local now = ARGV[2]
  if now == '' then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  else
    now = now + 0
  end
  if now < a.clock then now = a.clock end
  return now
end

-- lapse counts an amount as expired; one below 0 is not expired after all. The head is apart already if there is a lot
-- that can expire.
local function lapse(a, amount) a.expired, a.net = a.expired + amount, a.net - amount end

-- age lets lots expire and drops those that nothing can come from or go to any more.
local function age(a, now)
  local lots, drop = a.lots, false
  for i = 1, #lots do
    local lot = lots[i]
    if lot.expires ~= 0 and lot.expires <= now then
      if lot.expires > a.clock then
        a.available = a.available - lot.free
        lapse(a, lot.free)
      end
      drop = drop or (lot.held == 0 and lot.expires <= now - LONGEST)
    end
    drop = drop or lot.free + lot.held == 0
  end
  a.clock = now
  if not drop then return end
  a.lots = {}
  for _, lot in ipairs(lots) do
    if lot.held > 0 or (lot.free > 0 and live(lot, now - LONGEST)) then a.lots[#a.lots + 1] = lot end
  end
end

-- relevel returns the level that the account fell to, or 0 if it did not fall. unit is the price of what is being
-- bought; grew says that credits came in, without which an exhausted account stays exhausted.
local function relevel(a, unit, grew)
  local total = a.available + a.held
  if a.threshold == '0' and a.level == '0' and total >= unit then return '0' end
  local was, threshold = a.level + 0, a.threshold + 0
  local level = was
  if was == 2 and grew and total > 0 then level = 1 end
  -- A tenth above the threshold, so that a balance near it does not alert again and again.
  if level == 1 and total * 10 >= threshold * 11 then level = 0 end
  if total < threshold and level < 1 then level = 1 end
  if total < unit then level = 2 end
  a.level = int(level)
  return level > was and a.level or '0'
end

local function encode(a)
  if a.granted then a.head = format('%s %d %d %d', a.grant, a.granted, a.expired, a.revoked) end
  local text = '2 ' .. a.epoch .. ' ' .. a.generation .. ' ' .. a.head .. '|' .. a.threshold .. ' ' .. a.level .. ' ' ..
    int(a.net) .. ' ' .. int(a.captured) .. ' ' .. int(a.open) .. ' ' .. int(a.clock)
  for i = 1, #a.lots do
    local lot = a.lots[i]
    text = text .. ';' .. lot.id .. ':' .. lot.class .. ':' .. int(lot.expires) .. ':' .. int(lot.free) .. ':' .. int(lot.held)
  end
  return text
end
