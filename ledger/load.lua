-- load.lua puts an account as SQL has it into the gate. It is the only way to create or repair one.
-- KEYS[1] the account   KEYS[2] the account's scopes
-- ARGV[1] generation   ARGV[2] grant number   ARGV[3] granted, ARGV[4] captured, ARGV[5] expired,
-- ARGV[6] revoked, ARGV[7] available: millicredits
-- ARGV[8], [9], ... pairs: a scope, and the millicredits charged to it
-- returns loaded, or newer if the gate has this generation or a later one and nothing was changed
local known = redis.call('HMGET', KEYS[1], 'generation', 'clock')
if known[1] and tonumber(known[1]) >= tonumber(ARGV[1]) then return 'newer' end
redis.call('DEL', KEYS[1], KEYS[2])
-- Nothing is held: holds of older generations are no longer counted.
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'grant', ARGV[2], 'granted', ARGV[3], 'captured', ARGV[4],
  'expired', ARGV[5], 'revoked', ARGV[6], 'available', ARGV[7], 'held', '0', 'open', '0', 'clock', known[2] or '0')
for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 'loaded'
