-- Frees tickets that the audit found in nobody's hands.
--
-- KEYS  as in admit.lua
-- ARGV  1 epoch in which they were found, 2 ms a returned ticket rests, then tickets
-- Returns how many were freed.

local state, users, free, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', state, users, free, pending) < 4 then
    return 0
end
local read = redis.call('HMGET', state, 'epoch', 'counter')
if tonumber(read[1]) ~= tonumber(ARGV[1]) then
    return 0
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local freed = 0
for i = 3, #ARGV do
    if tonumber(ARGV[i]) <= tonumber(read[2]) then
        freed = freed + redis.call('ZADD', free, 'NX', now + tonumber(ARGV[2]), ARGV[i])
    end
end
return freed
