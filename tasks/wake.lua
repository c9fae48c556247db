-- wake.lua lets one process at a time resume batches of an organization, and not again too soon.
-- KEYS[1] hash of organizations by when their next batches may be resumed, ms
-- ARGV[1] the organization   ARGV[2] how long the next resumption waits after this one, ms
-- returns 1 if the caller may resume batches now, else 0 and nothing was changed
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local next = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
-- One far ahead was written before the clock went back.
if now < next and next < now + 60000 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + tonumber(ARGV[2])))
return 1
