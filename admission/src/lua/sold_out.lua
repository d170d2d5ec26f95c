-- Says whether the campaign is sold out for as long as a flag lives, and who holds its
-- tickets, as long as they are few enough.
--
-- KEYS  as in admit.lua
-- ARGV  1 epoch and 2 quota that the caller knows, 3 most users that are listed
-- Returns {} when it is not, or not known, or not open yet, or the users are too many;
--         {final, epoch, user, user, ...} when it is.

local state, users, free, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', state, users, free, pending) < 4 then
    return {}
end
local read = redis.call('HMGET', state, 'epoch', 'counter', 'quota', 'opens_at', 'quota_next')
local quota = tonumber(read[3])
if tonumber(read[1]) < tonumber(ARGV[1]) or quota < tonumber(ARGV[2]) or tonumber(read[2]) < quota then
    return {}
end
if redis.call('HLEN', users) > tonumber(ARGV[3]) then
    return {}
end
-- A ticket that came back, and a larger quota, may be claimed while the flag still lives: they
-- rest for the flags of before, and there must be none of after.
if redis.call('ZCARD', free) > 1 or (tonumber(read[5]) or 0) > quota then
    return {}
end
-- Of a state that is not open yet nothing is kept: it is followed by another without a rest in
-- between.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now < (tonumber(read[4]) or 0) then
    return {}
end
local answer = redis.call('HKEYS', users)
local final = 0
if redis.call('ZCARD', pending) == 1 then
    final = 1
end
table.insert(answer, 1, tonumber(read[1]))
table.insert(answer, 1, final)
return answer
