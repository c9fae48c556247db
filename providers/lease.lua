-- lease.lua hears what a process has done with its share of a vendor's quota and leases it more.
-- It is pool.lease of pool.go, which says why; here the state is a hash and may be lost.
-- KEYS[1] the quota: hash of m:<process> -> its record, f<window>:<ms> -> uses that fall out of the window then,
--   g -> the vendor's state, prober, server (run_id of the Redis that wrote it), frozen (nothing is leased before), and of
--   the reservation in SQL: r -> left, lapses, calls, reserver's time; rid, reserver; sid, scalls: the one before, as it ended
-- ARGV[1] now in ms, '' for the server's clock   ARGV[2] process   ARGV[3] number of its report
-- ARGV[4] 1 if its last lease ended before it asked   ARGV[5] calls it holds   ARGV[6] more that it wants   ARGV[7] of them urgent
-- ARGV[8] calls under way   ARGV[9] places it goes by   ARGV[10] places it wants
-- ARGV[11] pause the vendor asked for, ms; -1 none   ARGV[12] park: its outcome, 0 none   ARGV[13] park: ms
-- ARGV[14] 1 if its breaker opened   ARGV[15] how its probe ended: 0 no probe, 1 good, 2 bad, 3 says nothing
-- ARGV[16] burst   ARGV[17] places in all, 0 any   ARGV[18] longest call, ms   ARGV[19] ms a breaker stays open
-- ARGV[20] first window that SQL must know of, from 1; 0 none   ARGV[21] reservation made in SQL, '' none
-- ARGV[22] when its calls have arrived at the latest, ms   ARGV[23] its calls
-- ARGV[24] number of windows n, then span, step and size of each, then pairs of ms ago and calls: uses
-- returns {'unknown', now} if the state is missing or another server's: restore it first; else
--   {now, places, ms until more, factor in millionths, pause, open (-1 closed), 1 to probe, park, its ms,
--   calls to reserve in SQL or 0, sid, scalls, used of each window, then pairs of ms and calls: leased}
-- A report with a number already heard has no effect, so that a repeated ask leases once more at most what it holds.
local LIFE, SLACK, HORIZON, STEP, TURN, RAMP = 1000, 1000, 300, 2, 1000, 1000
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local function int(n) return string.format('%.0f', n) end
local a = {}
for i = 1, #ARGV do a[i] = tonumber(ARGV[i]) or 0 end
local key, me = KEYS[1], ARGV[2]

local time = redis.call('TIME')
local now = ARGV[1] ~= '' and a[1] or time[1] * 1000 + floor(time[2] / 1000)
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'embedded'

local flat = redis.call('HGETALL', key)
local state = {}
for i = 1, #flat, 2 do state[flat[i]] = flat[i + 1] end
if state.server ~= server then return {'unknown', int(now)} end

-- Parse.
local windows = {}
for i = 1, a[24] do
  local at = 25 + (i - 1) * 3
  windows[i] = {span = a[at], step = a[at + 1], size = a[at + 2], falls = {}}
end
local members, dirty, gone = {}, {}, {}
local function numbers(text)
  local out = {}
  for word in string.gmatch(text or '', '%S+') do out[#out + 1] = tonumber(word) end
  return out
end
for field, value in pairs(state) do
  local window, at = string.match(field, '^f(%d+):(%d+)$')
  if window then
    local w = windows[tonumber(window)]
    if w and tonumber(at) > now then w.falls[tonumber(at)] = tonumber(value) else gone[#gone + 1] = field end
  elseif string.sub(field, 1, 2) == 'm:' then
    local n = numbers(value)
    members[string.sub(field, 3)] = {seq = n[1], held = n[2], last = n[3], till = n[4], places = n[5], wanted = n[6],
      urgent = n[7], starving = n[8], fed = n[9], asked = n[10]}
  end
end
local n = numbers(state.g)
local g = {tat = n[1] or 0, cut = n[2] or 1, cutAt = n[3] or 0, growFrom = n[4] or 0, notBefore = n[5] or 0, open = n[6] or 0,
  probeUntil = n[7] or 0, ramp = n[8] or 0, park = n[9] or 0, parkUntil = n[10] or 0, prober = state.prober or ''}

local function gridUp(at, step) return ceil(at / step) * step end
local function fall(i, at, calls)
  if at > now then
    windows[i].falls[at] = (windows[i].falls[at] or 0) + calls
    dirty[i .. ':' .. int(at)] = {i, at}
  end
end
local function use(at, calls)
  for i, w in ipairs(windows) do fall(i, gridUp(at + w.span, w.step), calls) end
end

-- Bury.
for id, m in pairs(members) do
  if m.till < now and m.held > 0 then
    use(m.till + SLACK, m.held)
    m.held, m.changed = 0, true
  end
  if m.till + a[18] < now then
    members[id] = nil
    gone[#gone + 1] = 'm:' .. id
  end
end

-- Hear.
local m = members[me] or {seq = 0, held = 0, last = 0, till = 0, places = 0, wanted = 0, urgent = 0, starving = 0, fed = 0, asked = 0}
members[me] = m
local cutFactor = function() return min(1, g.cut + max(0, now - g.growFrom) * 0.05 / 1000) end
if a[4] == 1 and m.held > 0 then
  use(now + SLACK, m.held)
  m.held = 0
end
if a[3] > m.seq then
  m.seq = a[3]
  for i = 25 + a[24] * 3, #ARGV, 2 do
    local calls = min(a[i + 1], m.held)
    m.held = m.held - calls
    use(now + 1 - a[i], calls)
  end
  if a[11] >= 0 then
    g.notBefore = max(g.notBefore, now + a[11])
    if g.cutAt == 0 or now - g.cutAt >= 1000 then g.cut, g.cutAt = max(cutFactor() / 2, 1 / 64), now end
    g.growFrom = g.notBefore
  end
  if a[12] > 0 then g.park, g.parkUntil = a[12], max(g.parkUntil, now + a[13]) end
  if a[14] == 1 and g.open == 0 then g.open, g.prober = now + a[19], '' end
  if a[15] > 0 and g.prober == me then
    g.prober = ''
    if a[15] == 1 then g.open, g.ramp = 0, now elseif a[15] == 2 then g.open = now + a[19] end
  end
end
local back = m.held - a[5]
if back > 0 then
  m.held = a[5]
  for i, w in ipairs(windows) do fall(i, gridUp(m.last, w.step), back) end
end

-- The reservation in SQL.
local r = numbers(state.r)
local left, lapses, reserved, reserving = r[1] or 0, r[2] or 0, r[3] or 0, r[4] or 0
if ARGV[21] ~= '' and ARGV[21] ~= state.rid then
  state.sid, state.scalls = state.rid, int(reserved - left)
  state.rid, state.reserver = ARGV[21], ''
  left, reserved, lapses = a[23], a[23], a[22] - LIFE - SLACK
end
if now >= lapses then left = 0 end

-- What may be given at all.
local factor = cutFactor()
if g.ramp > 0 then factor = factor * min(1, 0.1 + 0.9 * (now - g.ramp) / RAMP) end
local pause, parked, open, probe = max(0, g.notBefore - now), max(0, g.parkUntil - now), -1, 0
local want = a[6]
if g.open > 0 then
  open = max(0, g.open - now)
  local other = g.prober ~= '' and g.prober ~= me
  if now < g.open or (want == 0 and (g.prober ~= me or now >= g.probeUntil)) or (other and now < g.probeUntil) then
    want = 0
  else
    if g.prober ~= me or now >= g.probeUntil then g.prober, g.probeUntil = me, now + a[18] end
    want, probe = 1, 1
  end
end
local frozen = tonumber(state.frozen or '0') > now
if pause > 0 or parked > 0 or frozen then want = 0 end

-- Give.
local held, urgent, live = 0, 0, 0
for id, o in pairs(members) do
  held = held + o.held
  if o.asked > now - LIFE or id == me then
    live = live + 1
    if id ~= me and a[7] == 0 then urgent = urgent + o.urgent end
  end
end
local plenty, used = 2 ^ 53, {}
for i, w in ipairs(windows) do
  local size = w.size
  if i == 1 then size = floor(size * factor + 1e-9) end
  w.free, w.next, w.fallen, w.list, w.taken = size - held, 1, 0, {}, {}
  for at, calls in pairs(w.falls) do
    if calls > 0 then
      w.free = w.free - calls
      w.list[#w.list + 1] = at
    end
  end
  table.sort(w.list)
  used[i] = int(size - w.free)
  w.free = w.free - urgent
  plenty = min(plenty, w.free)
end
local function till(w, at)
  while w.next <= #w.list and w.list[w.next] <= at do
    w.fallen = w.fallen + w.falls[w.list[w.next]]
    w.next = w.next + 1
  end
  return w.free + w.fallen
end
local function take(w, calls)
  local free = min(calls, max(0, w.free))
  w.free, calls = w.free - free, calls - free
  local i = w.next - 1
  while i >= 1 and calls > 0 do
    local k = min(calls, w.falls[w.list[i]] - (w.taken[i] or 0))
    w.taken[i] = (w.taken[i] or 0) + k
    w.fallen, calls = w.fallen - k, calls - k
    i = i - 1
  end
end
local given, after, stamps, reserve = 0, 0, {}, 0
if #windows > 0 and want > 0 then
  if probe == 0 then want = max(want, floor(plenty / (4 * live))) end
  if a[20] > 0 then
    local wide = 2 ^ 53
    for i = a[20], #windows do wide = min(wide, windows[i].size) end
    if (left * 2 < reserved or left < want or lapses - now < 1500) and till(windows[#windows], now + HORIZON) > 0
      and (state.reserver == nil or state.reserver == '' or state.reserver == me or reserving < now) then
      state.reserver, reserving = me, now + 2000
      reserve = min(wide, max(a[6], 20, 2 * (reserved - left)))
    end
    want = min(want, left)
  end
  local pace, paced = 0, windows[1].span <= 10000
  if paced then
    pace = max(windows[1].size * factor, 1e-9) * 1.05 / windows[1].span
    g.tat = max(g.tat, now - a[16] / pace)
  end
  local at = now
  while at <= now + HORIZON and given < want do
    local can = want - given
    if paced then can = min(can, floor((at - g.tat) * pace + 1e-6)) end
    for _, w in ipairs(windows) do can = min(can, till(w, at)) end
    if can > 0 then
      for _, w in ipairs(windows) do take(w, can) end
      if paced then g.tat = g.tat + can / pace end
      stamps[#stamps + 1], stamps[#stamps + 2] = int(at), int(can)
      given, m.last = given + can, max(m.last, at)
    end
    at = at + STEP
  end
  if given == 0 and paced then after = max(0, ceil(g.tat + 1 / pace) - now) end
  for i, w in ipairs(windows) do
    for j, k in pairs(w.taken) do
      w.falls[w.list[j]] = w.falls[w.list[j]] - k
      dirty[i .. ':' .. int(w.list[j])] = {i, w.list[j]}
    end
    if given == 0 then
      local free, first = w.free, now
      for _, when in ipairs(w.list) do
        if free > 0 then break end
        free, first = free + w.falls[when], when
      end
      if free <= 0 then first = first + 1000 end
      after = max(after, first - now)
    end
  end
  if given == 0 and a[20] > 0 and left == 0 then after = 0 end
  left = left - given
end
m.held, m.urgent, m.till, m.asked = m.held + given, max(0, a[7] - given), now + LIFE, now

-- Place.
local target = 0
if a[17] > 0 then
  local size = max(1, floor(a[17] * factor + 1e-9))
  local others, wanting, longer, hungry = 0, 0, 0, false
  for id, o in pairs(members) do
    if id ~= me then
      others = others + o.places
      if o.asked > now - LIFE and o.wanted > 0 then
        wanting = wanting + 1
        hungry = hungry or o.wanted > o.places
        if o.starving > 0 and (m.starving == 0 or o.starving < m.starving) then longer = longer + 1 end
      end
    end
  end
  if a[10] > 0 and (open < 0 or probe == 1) and not frozen then
    local fair = max(1, floor(size / (wanting + 1)))
    target = max(a[10], fair)
    if hungry then target = min(target, fair) end
    local room = size - others
    if m.places == 0 then room = room - longer elseif longer > 0 and now - m.fed >= TURN then room = 0 end
    target = max(0, min(target, room))
  end
  m.wanted = a[10]
  if a[10] == 0 then
    m.starving, m.fed = 0, 0
  elseif target > 0 then
    m.starving = 0
    if m.fed == 0 then m.fed = now end
  else
    m.fed = 0
    if m.starving == 0 then m.starving = now end
  end
  m.places = max(target, a[9], a[8])
end

-- Write.
m.changed = true
local out = {}
local function set(field, value) out[#out + 1], out[#out + 2] = field, value end
for id, o in pairs(members) do
  if o.changed then
    set('m:' .. id, table.concat({int(o.seq), int(o.held), int(o.last), int(o.till), int(o.places), int(o.wanted), int(o.urgent),
      int(o.starving), int(o.fed), int(o.asked)}, ' '))
  end
end
for _, d in pairs(dirty) do
  local calls = windows[d[1]].falls[d[2]]
  if calls > 0 then set('f' .. d[1] .. ':' .. int(d[2]), int(calls)) else gone[#gone + 1] = 'f' .. d[1] .. ':' .. int(d[2]) end
end
set('g', table.concat({string.format('%.6f', g.tat), string.format('%.9f', g.cut), int(g.cutAt), int(g.growFrom), int(g.notBefore),
  int(g.open), int(g.probeUntil), int(g.ramp), int(g.park), int(g.parkUntil)}, ' '))
set('prober', g.prober)
if a[20] > 0 then
  set('r', table.concat({int(left), int(lapses), int(reserved), int(reserving)}, ' '))
  set('rid', state.rid or '')
  set('reserver', state.reserver or '')
  set('sid', state.sid or '')
  set('scalls', state.scalls or '0')
end
for i = 1, #gone, 1000 do redis.call('HDEL', key, unpack(gone, i, min(i + 999, #gone))) end
for i = 1, #out, 1000 do redis.call('HSET', key, unpack(out, i, min(i + 999, #out))) end
redis.call('PEXPIRE', key, 90000000)
local answer = {int(now), int(target), int(after), int(factor * 1000000), int(pause), int(open), int(probe), int(parked > 0 and g.park or 0), int(parked),
  int(reserve), state.sid or '', state.scalls or '0'}
for _, u in ipairs(used) do answer[#answer + 1] = u end
for _, s in ipairs(stamps) do answer[#answer + 1] = s end
return answer
