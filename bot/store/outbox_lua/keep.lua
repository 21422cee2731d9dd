-- The item could not be sent now: keep it. `state` queued: Slack surely does not have it; sending: it may have it.
-- ARGV: key state now settle_at hold_until next_post_at failed
local key, state, now, settle_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local hold_until, next_post_at, failed = ARGV[5], ARGV[6], ARGV[7]
local channel, lane = item(key, 'channel'), item(key, 'lane')
if item(key, 'state') ~= 'sending' then
  return 0
end
redis.call('HSET', k('item', key), 'state', state, 'settle_at', settle_at)
redis.call('HSETNX', k('item', key), 'failing_since', now)
redis.call('HINCRBY', k('item', key), 'failures', failed)
redis.call('HSET', k('hold', channel), lane, hold_until)
if tonumber(next_post_at) > number(redis.call('GET', k('pace', channel)), 0) then
  redis.call('SET', k('pace', channel), next_post_at, 'EX', 86400)
end
return 1
