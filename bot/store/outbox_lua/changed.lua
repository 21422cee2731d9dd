-- The edit or reaction is made, or given up with `reason`. Answers how many updates were withheld before it.
-- ARGV: key now next_edit_at keep_s reason entry
local key, now, next_edit_at, keep_s, reason, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local record = k('item', key)
local channel = item(key, 'channel')
if entry ~= '' then
  bury(entry, keep_s)
end
if channel == '' then
  return 0
end
if item(key, 'kind') == 'react' then
  local made = item(key, 'making')
  redis.call('HDEL', record, 'making', 'edit_failures')
  if reason == '' and made ~= '' then
    redis.call('DEL', k('shown', key))
    redis.call('SADD', k('shown', key), cjson.decode(made).name)
    redis.call('EXPIRE', k('shown', key), keep_s)
    if made ~= item(key, 'item') then -- another one came meanwhile
      redis.call('HSET', record, 'next_edit_at', next_edit_at)
      return 0
    end
  end
  if redis.call('ZREM', k('changes', channel), key) == 1 then
    uncount(channel)
  end
  redis.call('ZREM', k('waiting'), key)
  redis.call('HSET', record, 'state', reason == '' and 'sent' or 'dead', 'reason', reason)
  redis.call('EXPIRE', record, keep_s)
  if reason ~= '' then
    redis.call('HDEL', record, 'item')
    redis.call('DEL', k('shown', key))
  end
  return 0
end
if reason == '' then
  redis.call('HSET', record, 'said', item(key, 'editing_said'))
end
redis.call('HSET', record, 'next_edit_at', next_edit_at)
redis.call('HDEL', record, 'editing', 'editing_said', 'editing_since', 'edit_failures')
redis.call('EXPIRE', record, keep_s)
redis.call('ZREM', k('changes', channel), key)
if redis.call('HEXISTS', record, 'edit') == 1 then -- a newer one came meanwhile: to the end of the line
  add_change(channel, key, number(item(key, 'edit_priority'), 2), now)
  redis.call('ZADD', k('waiting'), now, 'edit:' .. key)
else
  redis.call('ZREM', k('waiting'), 'edit:' .. key)
  redis.call('HDEL', record, 'edit_priority')
end
local withheld = number(item(key, 'withheld'), 0)
redis.call('HDEL', record, 'withheld')
return withheld
