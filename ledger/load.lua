-- load.lua puts an account as SQL has it into the gate. It is the only way to create or repair one, and how a revoke
-- arrives.
-- KEYS[1] the account   KEYS[2] the account's scopes
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)   ARGV[3] generation   ARGV[4] grant number
-- ARGV[5] granted, [6] captured, [7] expired, [8] revoked: millicredits   ARGV[9] threshold   ARGV[10] level
-- ARGV[11] how many lots follow, each as four: its id, class, when it expires (Unix ms, 0 for never), and what is left
--   of it, millicredits; a lot that has expired is closing, and only holds opened before may use it
-- after them pairs: a scope, and the millicredits charged to it
-- returns a text, one of
--   loaded LEVEL  LEVEL is the level that the account fell to by this call, 0 for none
--   newer         the gate has this generation or a later one; nothing was changed
local known = redis.pcall('GET', KEYS[1])
if type(known) == 'string' then
  known = decode(known)
  if known and tonumber(known.epoch) >= tonumber(ARGV[1]) and tonumber(known.generation) >= tonumber(ARGV[3]) then
    return 'newer'
  end
end
local a = {lots = {}, epoch = ARGV[1], generation = ARGV[3], grant = ARGV[4], granted = tonumber(ARGV[5]),
  captured = tonumber(ARGV[6]), expired = tonumber(ARGV[7]), revoked = tonumber(ARGV[8]),
  threshold = ARGV[9], level = ARGV[10], available = 0, held = 0, open = 0, clock = 0}
a.net = a.granted - a.expired - a.revoked
-- A clock that once ran ahead is forgotten here.
a.clock = clock(a)
local scopes = 12 + 4 * tonumber(ARGV[11])
for i = 12, scopes - 1, 4 do add(a, ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])) end
age(a, a.clock)
local fell = relevel(a, 0, true)
local text = encode(a)
if not decode(text) then return redis.error_reply('UNSOUND the account for ' .. KEYS[1] .. ' does not add up') end
-- Nothing is held: holds of older generations are no longer counted.
call('DEL', KEYS[2])
call('SET', KEYS[1], text)
for i = scopes, #ARGV, 2 do call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 'loaded ' .. fell
