-- Tells the state of holders that MySQL knows and it does not: a claim that was
-- committed while the state was being rebuilt.
--
-- KEYS  as in admit.lua
-- ARGV  for each holder: user, value (as in users)
-- Returns 1 when the state exists.

local state, users, free, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', state, users, free, pending) < 4 then
    return 0
end
for i = 1, #ARGV, 2 do
    redis.call('HSET', users, ARGV[i], ARGV[i + 1])
    local ticket = struct.unpack('>I4', string.sub(ARGV[i + 1], 17))
    redis.call('ZREM', free, ticket)
end
return 1
