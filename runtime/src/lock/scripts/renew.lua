-- Prolongs a lock that is still this holder's. The value carries the holder's random
-- token, so equal values mean the same acquisition.
-- KEYS: the lock. ARGV: the value it was taken with, the new lease in milliseconds.
-- Returns 1: prolonged, 0: it has run out or is another's.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
