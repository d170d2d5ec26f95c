-- Tells buckets of requests that were let through, and answers in how many microseconds each
-- will be full. A bucket is the time when it is full, by Redis' clock in microseconds; one that
-- is full has no key.
--
-- KEYS: the buckets. ARGV, four for each: its interval and tolerance in microseconds, the number of
-- requests, how many microseconds ago the first of them was.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {}
for i, key in ipairs(KEYS) do
    local at = (i - 1) * 4
    local interval, tolerance = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local count, age = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    local before = math.max(tonumber(redis.call('GET', key) or 0) or 0, now - age)
    -- Never emptier than empty: what was told late or twice does not shut anybody out for long.
    local full_at = math.min(before + count * interval, math.max(before, now + tolerance))
    if full_at > now then
        redis.call('SET', key, string.format('%.2f', full_at), 'PX', math.ceil((full_at - now) / 1000))
    else
        redis.call('DEL', key)
    end
    answer[i] = math.max(0, math.floor(full_at - now))
end
return answer
