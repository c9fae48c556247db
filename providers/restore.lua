-- restore.lua makes the state of a quota anew, from what SQL knows of its use, where Redis has none or another server's.
-- KEYS[1] the quota, as in lease.lua
-- ARGV[1] now in ms, '' for the server's clock   ARGV[2] ms for which nothing is leased, since others may still hold what is forgotten
-- ARGV[3..] triples of window, ms and calls: uses that fall out of the window then
-- returns 1 if it was made, 0 if it is there already
local time = redis.call('TIME')
local now = ARGV[1] ~= '' and tonumber(ARGV[1]) or time[1] * 1000 + math.floor(time[2] / 1000)
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'embedded'
if redis.call('HGET', KEYS[1], 'server') == server then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'server', server, 'frozen', string.format('%.0f', now + tonumber(ARGV[2])))
for i = 3, #ARGV, 3 do redis.call('HINCRBY', KEYS[1], 'f' .. ARGV[i] .. ':' .. ARGV[i + 1], ARGV[i + 2]) end
redis.call('PEXPIRE', KEYS[1], 90000000)
return 1
