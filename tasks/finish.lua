-- finish.lua ends a chunk's stay in a window and hands out what fits into the room that is left.
-- KEYS[1] state: hash of <batch>:next, <batch>:total, <batch>:wait   KEYS[2] rotation: list of batches with chunks never handed out
-- KEYS[3] inflight: zset of rounds by when they were handed out, ms   KEYS[4] returned: zset of rounds by when they may run, ms
-- ARGV[1] the round that ended, '' to hand out only   ARGV[2] its batch
-- ARGV[3] verdict: done, again (its chunk goes on in round ARGV[4] after ARGV[5] ms), idle (its batch may not run now)
-- ARGV[6] '1' if the whole batch waits that long   ARGV[7] size of the window
-- returns the rounds handed out, each to be enqueued; a round that is not in flight has no effect and gets {}
local state, rotation, inflight, returned = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end

if ARGV[1] ~= '' then
  if redis.call('ZREM', inflight, ARGV[1]) == 0 then return {} end
  local batch = ARGV[2]
  if ARGV[3] == 'idle' then
    redis.call('HDEL', state, batch .. ':next', batch .. ':total', batch .. ':wait')
    redis.call('LREM', rotation, 0, batch)
    for _, round in ipairs(redis.call('ZRANGE', returned, 0, -1)) do
      if string.match(round, '^[^:]*') == batch then redis.call('ZREM', returned, round) end
    end
  elseif ARGV[3] == 'again' and redis.call('HEXISTS', state, batch .. ':total') == 1 then
    -- A batch that the window does not know is restored from SQL, with this round.
    redis.call('ZADD', returned, int(now + tonumber(ARGV[5])), ARGV[4])
    if ARGV[6] == '1' then redis.call('HSET', state, batch .. ':wait', int(now + tonumber(ARGV[5]))) end
  end
end

local room = tonumber(ARGV[7]) - redis.call('ZCARD', inflight)
local out = {}
local function waits(batch)
  return tonumber(redis.call('HGET', state, batch .. ':wait') or '0') > now
end
local function hand(round)
  redis.call('ZADD', inflight, int(now), round)
  out[#out + 1] = round
  room = room - 1
end

-- What came back goes first: its batch has waited for it.
if room > 0 then
  for _, round in ipairs(redis.call('ZRANGEBYSCORE', returned, '-inf', int(now))) do
    if room <= 0 then break end
    if not waits(string.match(round, '^[^:]*')) then
      redis.call('ZREM', returned, round)
      hand(round)
    end
  end
end

-- Then the batches in turn, one chunk each.
local skipped = 0
while room > 0 and skipped < redis.call('LLEN', rotation) do
  local batch = redis.call('LPOP', rotation)
  local total = tonumber(redis.call('HGET', state, batch .. ':total') or '0')
  local next = tonumber(redis.call('HGET', state, batch .. ':next') or '0')
  if next < total and waits(batch) then
    redis.call('RPUSH', rotation, batch)
    skipped = skipped + 1
  elseif next < total then
    -- Counted before it is enqueued: a crash may lose a message, never a chunk.
    redis.call('HSET', state, batch .. ':next', int(next + 1))
    if next + 1 < total then redis.call('RPUSH', rotation, batch) end
    hand(batch .. ':' .. int(next) .. ':0')
    skipped = 0
  end
end
return out
