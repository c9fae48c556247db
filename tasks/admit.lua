-- admit.lua puts a batch, as SQL has it, into a window.
-- KEYS[1] state   KEYS[2] rotation   KEYS[3] inflight   KEYS[4] returned: as in finish.lua
-- ARGV[1] batch   ARGV[2] the next chunk to hand out   ARGV[3] how many chunks it has
-- ARGV[4], [5], ... rounds of chunks before that which are open
-- returns 1, or 0 if the window has the batch already and nothing was changed
local batch = ARGV[1]
if redis.call('HEXISTS', KEYS[1], batch .. ':total') == 1 then return 0 end
redis.call('HSET', KEYS[1], batch .. ':next', ARGV[2], batch .. ':total', ARGV[3])
if tonumber(ARGV[2]) < tonumber(ARGV[3]) then redis.call('RPUSH', KEYS[2], batch) end
for i = 4, #ARGV do
  if not redis.call('ZSCORE', KEYS[3], ARGV[i]) then redis.call('ZADD', KEYS[4], '0', ARGV[i]) end
end
return 1
