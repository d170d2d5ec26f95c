-- Takes back a reservation or a released claim: compare-and-delete by claim id and
-- ticket, so that doing it twice, or late, changes nothing.
--
-- KEYS  as in admit.lua
-- ARGV  1 claim id, 2 ticket, 3 user, 4 "1" when nobody holds the ticket in MySQL,
--       5 ms a returned ticket rests,
--       6 what the user really holds (as in users; empty: nothing)
-- Returns 1 when the ticket became free.

local state, users, free, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local claim, ticket, user = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('EXISTS', state, users, free, pending) < 4 then
    return 0
end
redis.call('ZREM', pending, claim .. struct.pack('>I4', ticket) .. user)
local held = redis.call('HGET', users, user)
if not held or string.sub(held, 1, 20) ~= claim .. struct.pack('>I4', ticket) then
    return 0
end
if ARGV[6] ~= '' then
    redis.call('HSET', users, user, ARGV[6])
else
    redis.call('HDEL', users, user)
end
if ARGV[4] ~= '1' or ticket > tonumber(redis.call('HGET', state, 'counter')) then
    return 0
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', free, 'NX', now + tonumber(ARGV[5]), ticket)
return 1
