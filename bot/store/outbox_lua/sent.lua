-- The item is in Slack. Answers how many updates of it were withheld while it waited, or -1 when that was known already.
-- ARGV: key ts thread said now next_post_at next_edit_at keep_s
local key, ts, thread, said, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local next_post_at, next_edit_at, keep_s = ARGV[6], ARGV[7], ARGV[8]
local record = k('item', key)
local state, channel, kind = item(key, 'state'), item(key, 'channel'), item(key, 'kind')
if state ~= 'queued' and state ~= 'sending' then
  return -1
end
leave(key)
redis.call('HSET', record, 'state', 'sent', 'ts', ts, 'thread', thread, 'said', said, 'next_edit_at', next_edit_at)
redis.call('HDEL', record, 'item', 'content', 'settle_at', 'first_at', 'failures', 'failing_since')
redis.call('EXPIRE', record, kind == 'post' and keep_s or 172800)
redis.call('SET', k('pace', channel), next_post_at, 'EX', 86400)
if kind == 'post' and thread == '' and ts ~= '' then
  redis.call('SET', k('alias', channel, ts), item(key, 'lane'), 'EX', keep_s)
end
if redis.call('HEXISTS', record, 'edit') == 1 then
  add_change(channel, key, number(item(key, 'edit_priority'), 2), now)
end
for _, follower in ipairs(redis.call('LRANGE', k('after', key), 0, -1)) do
  redis.call('HSET', k('item', follower), 'ts', ts)
  add_change(channel, follower, item(follower, 'priority'), now)
end
redis.call('DEL', k('after', key))
local withheld = number(item(key, 'withheld'), 0)
redis.call('HDEL', record, 'withheld')
return withheld
