-- release.lua ends an asker's claims.
-- KEYS[1] asking: the hash of claim.lua
-- ARGV[1] the asker   ARGV[2] how long others are told that nothing was found, ms
-- ARGV[3..] questions, each after '1' if nothing was found for it, else '0'
-- returns how many claims ended. A claim that is another's by now is left alone. Repeating a call changes nothing.
local key, asker, life = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local ended = 0
for i = 3, #ARGV, 2 do
  local question = ARGV[i + 1]
  local who, waited = string.match(redis.call('HGET', key, question) or '', '^%d+ %d+ (%S+)( ?w?)$')
  if who == asker then
    if ARGV[i] == '1' and waited ~= '' then
      redis.call('HSET', key, question, string.format('%.0f', now + life) .. ' missed')
    else
      redis.call('HDEL', key, question)
    end
    ended = ended + 1
  end
end
return ended
