-- release.lua ends an asker's claims.
-- KEYS[1] asking: the hash of claim.lua
-- ARGV[1] the asker   ARGV[2] how long others are told that nothing was found, ms
-- ARGV[3..] questions, each after '1' if nothing was found for it, else '0'
-- returns how many claims ended. A claim that is another's by now is left alone. Repeating a call changes nothing.
local key, asker, life = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local questions = {}
for i = 3, #ARGV, 2 do questions[#questions + 1] = ARGV[i + 1] end
local missed = string.format('%.0f', now + life) .. ' missed'
local over, told, ended = {}, {}, 0
for i, held in ipairs(redis.call('HMGET', key, unpack(questions))) do
  local who, waited = string.match(held or '', '^%d+ %d+ (%S+)( ?w?)$')
  if who == asker then
    if ARGV[2 * i + 1] == '1' and waited ~= '' then
      told[#told + 1], told[#told + 2] = questions[i], missed
    else
      over[#over + 1] = questions[i]
    end
    ended = ended + 1
  end
end
if told[1] then redis.call('HSET', key, unpack(told)) end
if over[1] then redis.call('HDEL', key, unpack(over)) end
return ended
