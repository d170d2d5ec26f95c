-- Puts a rebuilt state in place, in one step. Refuses an older epoch and a set that
-- is not complete.
--
-- KEYS  1-4 as in admit.lua, 5-7 the rebuilt users, free and pending
-- ARGV  1 epoch, 2 counter, 3 quota, 4 fields that users must have,
--       5 members that free must have, 6 when the keys may go (ms since 1970),
--       7 how long no ticket is handed out yet (ms), 8 run id of the server that was asked to
--       take the state
-- Returns 1 when installed, 0 when a newer epoch is there, -1 when incomplete.

local state, users, free, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch = tonumber(ARGV[1])
local there = tonumber(redis.call('HGET', state, 'epoch'))
if there and there >= epoch then
    redis.call('DEL', KEYS[5], KEYS[6], KEYS[7])
    return 0
end
if redis.call('HLEN', KEYS[5]) ~= tonumber(ARGV[4]) or redis.call('ZCARD', KEYS[6]) ~= tonumber(ARGV[5])
    or redis.call('EXISTS', KEYS[7]) == 0 then
    return -1
end
redis.call('RENAME', KEYS[5], users)
redis.call('RENAME', KEYS[6], free)
redis.call('RENAME', KEYS[7], pending)
redis.call('DEL', state)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', state, 'epoch', epoch, 'counter', ARGV[2], 'number', 0, 'quota', ARGV[3],
    'opens_at', now + tonumber(ARGV[7]), 'server', ARGV[8])
for i = 1, 4 do
    redis.call('PEXPIREAT', KEYS[i], ARGV[6])
end
return 1
