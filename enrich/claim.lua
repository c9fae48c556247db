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

local asked = redis.call('HMGET', key, unpack(ARGV, 3))
local ends = int(now + life)
local fresh = ends .. ' ' .. int(now) .. ' ' .. asker
local answers, changes, ours = {}, {}, 0
local function change(question, claim)
  changes[#changes + 1], changes[#changes + 2] = question, claim
end

-- taken answers for a question of which something is noted.
local function taken(question, held)
  local missed = string.match(held, '^(%d+) missed$')
  if missed and tonumber(missed) > now then return -1 end
  local until_, began, who, waited = string.match(held, '^(%d+) (%d+) (%S+)( ?w?)$')
  if who and who ~= asker and tonumber(until_) > now then
    if waited == '' then change(question, held .. ' w') end
    return math.max(1, now - tonumber(began))
  end
  change(question, who == asker and ends .. ' ' .. began .. ' ' .. asker .. waited or fresh)
  return 0
end

for i = 1, #asked do
  local question = ARGV[i + 2]
  if asked[i] then
    answers[i] = taken(question, asked[i])
  else
    answers[i] = 0
    change(question, fresh)
  end
  if answers[i] == 0 then ours = ours + 1 end
end
-- One call for all: a call each would cost more than all the rest.
if changes[1] then redis.call('HSET', key, unpack(changes)) end
-- Whoever dies leaves its claims behind: they go with the organization's last.
if ours > 0 then redis.call('PEXPIRE', key, life * 2) end
return answers
