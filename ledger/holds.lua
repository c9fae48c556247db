-- holds.lua is put between account.lua and the scripts that open, extend and close holds. It uses KEYS[3],
-- the bucket's deadlines, and of those that open and close KEYS[1], the account, and KEYS[2], its scopes; no ARGV. By
-- itself it returns nothing.

-- holdof returns nil if there is no hold, and nil and the script's answer if there is no telling. A hold is
--   "c captured" once closed, else "o generation units price opened|lot:amount;…|counter …"
local function holdof(key)
  local text = redis.pcall('GET', key)
  if not text then return nil end
  if type(text) ~= 'string' then return nil, corrupt(key) end
  local generation, units, price, opened, slices, counters = match(text, '^o (%d+) (%d+) (%d+) (%d+)|([%d:;]*)|(.*)$')
  if generation and #units <= DIGITS and #price <= DIGITS and #opened <= DIGITS then
    return {generation = generation, units = units, price = price, opened = opened, slices = slices, counters = counters}
  end
  local captured = match(text, '^c (%d+)$')
  if captured and #captured <= DIGITS then return {closed = true, captured = captured} end
  return nil, corrupt(key)
end

-- due runs a command on the deadlines in KEYS[3]. It returns the script's answer if they are of another type, else nil
-- and what the command answered. It comes before a hold writes anything.
local function due(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return nil, answer end
  if string.find(answer.err, 'WRONGTYPE', 1, true) then return corrupt(KEYS[3]) end
  return nil, call(...) -- fails as a whole: the server is full, say
end

-- number reads a number; nil means that no script wrote it. tonumber alone would read 0x10, 1e9 and nan.
local function number(text)
  return type(text) == 'string' and match(text, '^%d+$') and #text <= DIGITS and text + 0 or nil
end

-- counts are the counters of the scopes that were read, changed those to write.
local counts, changed = {}, {}

-- count returns what a counter says, or nil if no script wrote it.
local function count(name)
  if not counts[name] then
    local text = redis.pcall('HGET', KEYS[2], name)
    counts[name] = not text and 0 or number(text)
  end
  return counts[name]
end

local function recount(name, value) counts[name], changed[name] = value, true end

-- keep writes the account and the counters.
local function keep(a)
  local fields = {}
  for name in pairs(changed) do
    fields[#fields + 1] = name
    fields[#fields + 1] = int(counts[name])
  end
  if fields[1] then call('HSET', KEYS[2], unpack(fields)) end
  call('SET', KEYS[1], encode(a))
end
