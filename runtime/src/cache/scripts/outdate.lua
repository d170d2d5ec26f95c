-- Forgets what is older than a version. What stays behind is the version alone: whoever has read
-- something older and comes late does not put it back.
-- KEYS: the keys. ARGV: for how many milliseconds, then the version of each key.
for place, key in ipairs(KEYS) do
    local known = redis.call('GETRANGE', key, 0, 19)
    if known < ARGV[place + 1] then
        redis.call('SET', key, ARGV[place + 1], 'PX', ARGV[1])
    end
end
return #KEYS
