-- The item will never be sent: it makes room for the next one and goes to the dead list, with what waited for it.
-- ARGV: key reason entry next_post_at keep_s
local key, reason, entry, next_post_at, keep_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local record = k('item', key)
local channel, state = item(key, 'channel'), item(key, 'state')
if state ~= 'queued' and state ~= 'sending' then
  return 0
end
local function forget(one)
  redis.call('HSET', k('item', one), 'state', 'dead', 'reason', reason)
  redis.call('HDEL', k('item', one), 'item', 'content', 'edit', 'editing')
  redis.call('EXPIRE', k('item', one), keep_s)
end
if item(key, 'kind') == 'react' then
  redis.call('DEL', k('shown', key))
  redis.call('ZREM', k('changes', channel), key)
  redis.call('ZREM', k('waiting'), key)
  uncount(channel)
else
  leave(key)
  redis.call('ZREM', k('waiting'), 'edit:' .. key)
  redis.call('SET', k('pace', channel), next_post_at, 'EX', 86400)
end
forget(key)
for _, follower in ipairs(redis.call('LRANGE', k('after', key), 0, -1)) do
  redis.call('ZREM', k('waiting'), follower)
  uncount(channel)
  forget(follower)
end
redis.call('DEL', k('after', key))
bury(entry, keep_s)
return 1
