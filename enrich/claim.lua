-- claim.lua lets one asker at a time put a question of an organization to its vendors.
-- KEYS[1] asking: hash of question -> "<ends, ms> <began, ms> <asker>", then " w" if others wait,
--         or "<ends, ms> missed" after an asker who found nothing while others waited
-- ARGV[1] the asker   ARGV[2] how long a claim lasts, ms   ARGV[3..] questions
-- returns a number for each question: 0 it is the asker's, which again makes it last as long from now;
--         n > 0 another has been asking for n ms; -1 another has just found nothing
-- Claims that have ended count as none. Repeating a call changes nothing but when the claims end.
local key, asker, life = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end

local answers, ours = {}, 0
for i = 3, #ARGV do
  local held = redis.call('HGET', key, ARGV[i]) or ''
  local ends, began, who, waited = string.match(held, '^(%d+) (%d+) (%S+)( ?w?)$')
  local missed = string.match(held, '^(%d+) missed$')
  if missed and tonumber(missed) > now then
    answers[#answers + 1] = -1
  elseif who and who ~= asker and tonumber(ends) > now then
    if waited == '' then redis.call('HSET', key, ARGV[i], held .. ' w') end
    answers[#answers + 1] = math.max(1, now - tonumber(began))
  else
    if who ~= asker then began, waited = int(now), '' end
    redis.call('HSET', key, ARGV[i], int(now + life) .. ' ' .. began .. ' ' .. asker .. waited)
    answers[#answers + 1], ours = 0, ours + 1
  end
end
-- Whoever dies leaves its claims behind: they go with the organization's last.
if ours > 0 then redis.call('PEXPIRE', key, life * 2) end
return answers
