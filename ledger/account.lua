-- account.lua is put before every other script: it reads, ages and writes an account.
-- It uses no keys of its own and no ARGV but ARGV[1], the epoch, and ARGV[2], the time in Unix ms ('' for the
-- server's); LONGEST, the longest life of a hold in ms, is put before it. By itself it returns nothing.
--
-- An account is one string, so that a script reads and writes it in one call each:
--   2 epoch generation grant granted captured expired revoked available held open clock threshold level
-- and then its lots in burn order, each ";id:class:expires:free:held". The 2 is the format: an account of another
-- format is missing, and loading writes it anew.
--
-- `free` of a lot that expired at `clock` or before is counted in `expired`, of the others in `available`.
local FORMAT = '^2 (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)()'
local LOT = '^;(%d+):(%d+):(%d+):(%d+):(%d+)()'

-- No number of ours is larger than a double can hold, or has more digits.
local MOST, DIGITS = 2 ^ 53, 16

local match, format, call = string.match, string.format, redis.call

local function int(n) return format('%d', n) end

-- counted reads a counter; nil means that no script wrote it. tonumber alone would read 0x10, 1e9 and nan.
local function counted(value)
  if not value then return 0 end
  return type(value) == 'string' and match(value, '^%d+$') and #value <= DIGITS and value + 0
end

local function corrupt(key) return redis.error_reply('CORRUPT the value of ' .. key .. ' cannot be read') end

-- sound reports whether an account adds up. An amount that is too large for a double is a mistake of ours or a
-- broken value.
local function sound(a)
  local free, lapsed, held, clock = 0, 0, 0, a.clock
  for i = 1, #a.lots do
    local lot = a.lots[i]
    if lot.expires ~= 0 and lot.expires <= clock then lapsed = lapsed + lot.free else free = free + lot.free end
    held = held + lot.held
  end
  return free == a.available and held == a.held and lapsed <= a.expired and a.granted < MOST and clock < MOST
    and a.open < MOST and a.threshold < MOST and a.level < 3
    and a.granted == free + held + a.captured + a.expired + a.revoked
end

-- decode returns nil for a text that is no account.
local function decode(text)
  local epoch, generation, grant, granted, captured, expired, revoked, available, held, open, clock, threshold, level,
    at = match(text, FORMAT)
  if not at or at > 14 * (DIGITS + 1) or #generation + #grant + #epoch > 3 * DIGITS then return nil end
  local lots, length = {}, #text
  while at <= length do
    local id, class, expires, free, lotheld, next = match(text, LOT, at)
    if not id or next - at > 5 * (DIGITS + 1) then return nil end
    lots[#lots + 1] = {id = id, class = class, expires = expires + 0, free = free + 0, held = lotheld + 0}
    at = next
  end
  local a = {epoch = epoch, generation = generation, grant = grant, granted = granted + 0, captured = captured + 0,
    expired = expired + 0, revoked = revoked + 0, available = available + 0, held = held + 0, open = open + 0,
    clock = clock + 0, threshold = threshold + 0, level = level + 0, lots = lots}
  if sound(a) then return a end
end

-- accountof returns the account in what GET or MGET answered, or nil and the script's answer.
local function accountof(text, key)
  if not text then
    text = redis.pcall('GET', key) -- MGET takes a key of another type for one that is not there
    if not text then return nil, 'missing' end
  end
  if type(text) ~= 'string' then return nil, corrupt(key) end
  local a = decode(text)
  if not a then
    local other = match(text, '^(%d+) ')
    if other and other ~= '2' then return nil, 'missing' end
    return nil, corrupt(key)
  end
  -- After a failover of Redis nothing that an older epoch wrote counts.
  if a.epoch + 0 < ARGV[1] + 0 then return nil, 'missing' end
  return a
end

local function read(key) return accountof(nil, key) end

-- The clock of an account never runs backwards, whatever the server's does.
local function clock(a)
  local now = tonumber(ARGV[2])
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  if now < a.clock then now = a.clock end
  return now
end

local function live(lot, now) return lot.expires == 0 or lot.expires > now end

-- age lets lots expire and drops those that nothing can come from or go to any more.
local function age(a, now)
  local lots, drop = a.lots, false
  for i = 1, #lots do
    local lot = lots[i]
    if lot.expires ~= 0 and lot.expires <= now then
      if lot.expires > a.clock then a.available, a.expired = a.available - lot.free, a.expired + lot.free end
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

local function find(a, id)
  for i = 1, #a.lots do
    if a.lots[i].id == id then return a.lots[i] end
  end
end

-- relevel returns the level that the account fell to, or 0 if it did not fall. unit is the price of what is being
-- bought; grew says that credits came in, without which an exhausted account stays exhausted.
local function relevel(a, unit, grew)
  local total, was = a.available + a.held, a.level
  if was == 2 and grew and total > 0 then a.level = 1 end
  -- A tenth above the threshold, so that a balance near it does not alert again and again.
  if a.level == 1 and total * 10 >= a.threshold * 11 then a.level = 0 end
  if total < a.threshold and a.level < 1 then a.level = 1 end
  if total < unit then a.level = 2 end
  return a.level > was and a.level or 0
end

local function encode(a)
  local text = format('2 %s %s %s %d %d %d %d %d %d %d %d %d %d', a.epoch, a.generation, a.grant,
    a.granted, a.captured, a.expired, a.revoked, a.available, a.held, a.open, a.clock, a.threshold, a.level)
  for i = 1, #a.lots do
    local lot = a.lots[i]
    text = text .. format(';%s:%s:%d:%d:%d', lot.id, lot.class, lot.expires, lot.free, lot.held)
  end
  return text
end

-- holdof returns nil if there is no hold, and nil and the script's answer if there is no telling. A hold is
--   "c captured" once closed, else "o generation units price opened|lot:amount;…|scope …"
local function holdof(text, key)
  if not text then return nil end
  if type(text) ~= 'string' then return nil, corrupt(key) end
  local generation, units, price, opened, slices, scopes = match(text, '^o (%d+) (%d+) (%d+) (%d+)|([%d:;]*)|(.*)$')
  if generation and #units <= DIGITS and #price <= DIGITS and #opened <= DIGITS then
    return {generation = generation, units = units, price = price, opened = opened, slices = slices, scopes = scopes}
  end
  local captured = match(text, '^c (%d+)$')
  if captured and #captured <= DIGITS then return {closed = true, captured = captured} end
  return nil, corrupt(key)
end
