-- board.lua writes down how a process stands with its vendors, and forgets processes that are silent.
-- KEYS[1] board: hash of process -> "<written, ms> <report>"
-- ARGV[1] the process   ARGV[2] how long reports are kept, ms   ARGV[3] its report, '' to take it away
-- returns the number of reports that are left. Repeating a call changes nothing but the time.
local board, process, keep, report = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local all = redis.call('HGETALL', board)
for i = 1, #all, 2 do
  local written = tonumber(string.match(all[i + 1], '^(%d+) ') or '0')
  if now - written > keep or all[i] == process then redis.call('HDEL', board, all[i]) end
end
if report ~= '' then
  redis.call('HSET', board, process, string.format('%.0f', now) .. ' ' .. report)
  redis.call('PEXPIRE', board, keep)
end
return redis.call('HLEN', board)
