-- Gives a lock back that is still this holder's. The value carries the holder's random
-- token, so equal values mean the same acquisition.
-- KEYS: the lock. ARGV: the value it was taken with.
-- Returns 1: it is free, 0: it had run out or is another's.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
