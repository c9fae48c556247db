-- balance.lua reads an account as it is now. It writes nothing.
-- KEYS[1] the account
-- ARGV[1] epoch   ARGV[2] the time ('' for the server's)
-- returns the account, as account.lua describes it, with lots that have expired by now counted as expired; or missing;
-- or corrupt KEY
local a, problem = accountof(KEYS[1])
if not a then return problem end
if not head(a) then return corrupt(KEYS[1]) end
age(a, clock(a))
return encode(a)
