-- beat.lua notes that a worker is alive, by the server's clock.
-- KEYS[1] workers: zset of workers by their last beat, ms
-- ARGV[1] the worker   ARGV[2] how long a worker may be silent, ms
-- returns the workers that have been silent for longer
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2])))
