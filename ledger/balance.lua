-- balance.lua reads an account as it is now. It writes nothing.
-- KEYS[1] the account
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)
-- returns the account, as account.lua describes it, with lots that have expired by now counted as expired; or missing;
-- or an error CORRUPT
local a, problem = read(KEYS[1])
if not a then return problem end
age(a, clock(a))
return encode(a)
