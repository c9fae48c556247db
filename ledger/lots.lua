-- lots.lua is put between account.lua and the scripts that put credits into lots; holding and settling do without.
-- It uses no keys and no ARGV; by itself it returns nothing.
-- whole returns what accountof does, with the head taken apart.
local function whole(key)
  local a, problem = accountof(key)
  if a and not head(a) then return nil, corrupt(key) end
  return a, problem
end

local function find(a, id)
  for i = 1, #a.lots do
    if a.lots[i].id == id then return a.lots[i] end
  end
end

local function before(a, b)
  if a.expires ~= b.expires then return b.expires == 0 or (a.expires ~= 0 and a.expires < b.expires) end
  if a.class ~= b.class then return tonumber(a.class) < tonumber(b.class) end
  return tonumber(a.id) < tonumber(b.id)
end

-- add puts an amount into a lot, and makes the lot if it is not there. The head must be apart.
local function add(a, id, class, expires, amount)
  local lot = find(a, id)
  if not lot then
    lot = {id = id, class = class, expires = tonumber(expires), free = 0, held = 0}
    local at = 1
    while a.lots[at] and before(a.lots[at], lot) do at = at + 1 end
    table.insert(a.lots, at, lot)
  end
  lot.free = lot.free + amount
  if live(lot, a.clock) then a.available = a.available + amount else lapse(a, amount) end
end
