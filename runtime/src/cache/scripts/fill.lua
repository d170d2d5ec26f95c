-- Remembers a value, unless something newer is known to have been written.
-- KEYS[1]: the key. ARGV: the version, the value, for how many milliseconds.
-- Versions have 20 digits each, so that their texts have their order.
local known = redis.call('GETRANGE', KEYS[1], 0, 19)
if known ~= '' and known > ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
