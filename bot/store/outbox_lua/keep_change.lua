-- The edit or reaction could not be made now: keep it, unless a newer edit has come.
-- ARGV: key method now next_edit_at pause_until withheld_after_s failed
local key, method, now, next_edit_at, pause_until, patience_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local record = k('item', key)
if redis.call('EXISTS', record) == 0 then
  return 0
end
redis.call('HSET', record, 'next_edit_at', next_edit_at)
redis.call('HINCRBY', record, 'edit_failures', ARGV[7])
if redis.call('HEXISTS', record, 'editing') == 1 then
  local since = item(key, 'editing_since')
  if redis.call('HEXISTS', record, 'edit') == 0 then
    redis.call('HSET', record, 'edit', item(key, 'editing'), 'edit_said', item(key, 'editing_said'))
  elseif tonumber(now) - number(since, 0) > tonumber(patience_s) then
    redis.call('HINCRBY', record, 'withheld', 1)
  end
  redis.call('HSET', record, 'edit_since', since)
  redis.call('HDEL', record, 'editing', 'editing_said', 'editing_since')
end
if tonumber(pause_until) > 0 then
  redis.call('HSET', k('bucket', method), 'pause_until', pause_until)
  redis.call('EXPIRE', k('bucket', method), 86400)
end
return 1
