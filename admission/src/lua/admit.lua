-- Reserves tickets for a batch of requests, in their order.
--
-- KEYS  1 state (hash: epoch, counter, number, quota, opens_at, server, quota_next,
--         quota_next_at)
--       2 users (hash: user -> claim id (16 bytes) ticket (4) sequence (8))
--       3 free (sorted set: returned ticket -> time in ms from which it may be handed out)
--       4 pending (sorted set: claim id (16) ticket (4) user -> deadline in ms)
-- ARGV  1 epoch, 2 quota, 3 highest ticket of that epoch that the caller knows of,
--       4 ms until a reservation is settled by the sweeper, 5 ms a returned ticket rests,
--       then claim id and user of each request
-- Returns {"cold"} when this state may not be used, {"resting", ms} when no ticket of it
--       may be handed out yet, else
--       {epoch, final, then per request: kind, ticket, sequence, stock left | value}
--       kind 0 admitted (or admitted before under this claim id), 1 the user has
--       another claim (value: as in users), 2 sold out. final: 1 when sold out for good.

local state, users, free, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local known_epoch, known_quota, known_highest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local pending_ms, rest_ms = tonumber(ARGV[4]), tonumber(ARGV[5])

-- Every key carries a sentinel, so a missing key means lost, not empty.
if redis.call('EXISTS', state, users, free, pending) < 4 then
    return { 'cold' }
end
local read = redis.call('HMGET', state, 'epoch', 'counter', 'number', 'quota', 'quota_next', 'quota_next_at',
    'opens_at')
local epoch, counter, number, quota = tonumber(read[1]), tonumber(read[2]), tonumber(read[3]), tonumber(read[4])
if epoch < known_epoch or (epoch == known_epoch and counter < known_highest) then
    return { 'cold' }
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- A raised quota takes effect when every local sold-out flag has run out, so that
-- nobody hears "sold out" while somebody who asked later is admitted.
if known_quota > quota then
    local next = tonumber(read[5]) or 0
    if next < known_quota then
        redis.call('HSET', state, 'quota_next', known_quota, 'quota_next_at', now + rest_ms)
    elseif now >= tonumber(read[6]) then
        quota = next
        redis.call('HSET', state, 'quota', quota)
    elseif tonumber(read[6]) > now + rest_ms then
        -- The clock was set back.
        redis.call('HSET', state, 'quota_next_at', now + rest_ms)
    end
end

-- Whoever was told "sold out" of the state before this one hears otherwise first.
local opens_at = tonumber(read[7]) or 0
if opens_at > now + rest_ms then
    -- The clock was set back.
    opens_at = now + rest_ms
    redis.call('HSET', state, 'opens_at', opens_at)
end
if now < opens_at and (counter < quota or redis.call('ZCARD', free) > 1) then
    for i = 7, #ARGV, 2 do
        if redis.call('HEXISTS', users, ARGV[i]) == 0 then
            return { 'resting', opens_at - now }
        end
    end
end

-- Sequences of an epoch begin at (epoch - 1) << 32.
local base = (epoch - 1) * 4294967296
local deadline = now + pending_ms
local free_count = redis.call('ZCARD', free) - 1
if free_count > 0 then
    -- Where the clock was set back, tickets rest no longer than they would have.
    local far = redis.call('ZRANGEBYSCORE', free, string.format('(%d', now + rest_ms), '(inf', 'LIMIT', 0, 1000)
    for _, ticket in ipairs(far) do
        redis.call('ZADD', free, 'XX', now + rest_ms, ticket)
    end
end
local answer = { epoch, 0 }
local at, sold_out = 3, false
local new_users, new_pending = {}, {}
local seen = {}

local function put(kind, ticket, sequence, rest)
    answer[at], answer[at + 1], answer[at + 2], answer[at + 3] = kind, ticket, sequence, rest
    at = at + 4
end

for i = 6, #ARGV, 2 do
    local claim, user = ARGV[i], ARGV[i + 1]
    local held = seen[user] or redis.call('HGET', users, user)
    if held then
        if string.sub(held, 1, 16) == claim then
            local ticket, high, low = struct.unpack('>I4I4I4', string.sub(held, 17))
            put(0, ticket, high * 4294967296 + low, quota - counter + free_count)
        else
            put(1, 0, 0, held)
        end
    else
        local ticket
        if free_count > 0 then
            local returned = redis.call('ZRANGEBYSCORE', free, 0, now, 'LIMIT', 0, 1)
            if returned[1] then
                redis.call('ZREM', free, returned[1])
                ticket = tonumber(returned[1])
                free_count = free_count - 1
            end
        end
        if not ticket and counter < quota then
            counter = counter + 1
            ticket = counter
        end
        if ticket then
            number = number + 1
            local sequence = base + number
            local value = claim .. struct.pack('>I4I4I4', ticket, epoch - 1, number)
            seen[user] = value
            new_users[#new_users + 1] = user
            new_users[#new_users + 1] = value
            new_pending[#new_pending + 1] = deadline
            new_pending[#new_pending + 1] = claim .. struct.pack('>I4', ticket) .. user
            put(0, ticket, sequence, quota - counter + free_count)
        else
            sold_out = true
            put(2, 0, 0, 0)
        end
    end
end

if #new_users > 0 then
    redis.call('HSET', users, unpack(new_users))
    redis.call('ZADD', pending, unpack(new_pending))
    redis.call('HSET', state, 'counter', counter, 'number', number)
end
-- Final only when no ticket can come back and no larger quota is on its way.
if sold_out and free_count == 0 and quota >= known_quota and redis.call('ZCARD', pending) == 1 then
    answer[2] = 1
end
return answer
