-- Keep the newest edit of a post. Answers unknown, dead, same, new, or withheld (it replaced one that had to wait long).
-- ARGV: key priority content said now withheld_after_s
local key, priority, content, said, now, patience_s = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local record = k('item', key)
local state, channel = item(key, 'state'), item(key, 'channel')
if state == '' or state == 'dead' then
  return state == '' and 'unknown' or 'dead'
end
local had = redis.call('HEXISTS', record, 'edit') == 1
local flying = redis.call('HEXISTS', record, 'editing') == 1
if not had and not flying and item(key, 'said') == said then
  return 'same'
end

local answer = 'new'
if had then
  if tonumber(now) - number(item(key, 'edit_since'), 0) > tonumber(patience_s) then
    redis.call('HINCRBY', record, 'withheld', 1)
    answer = 'withheld'
  end
  priority = math.min(priority, number(item(key, 'edit_priority'), 2))
else
  redis.call('HSET', record, 'edit_since', now)
  redis.call('ZADD', k('waiting'), 'NX', now, 'edit:' .. key)
end
redis.call('HSET', record, 'edit', content, 'edit_said', said, 'edit_priority', priority, 'edit_failures', 0)

if state == 'sent' then
  local old = redis.call('ZSCORE', k('changes', channel), key)
  if not old then
    add_change(channel, key, priority, now)
  elseif tonumber(old) >= (priority + 1) * 1e13 then -- more urgent than it was: same age, better rank
    redis.call('ZADD', k('changes', channel), score(priority, tonumber(old) % 1e13), key)
  end
elseif priority < number(item(key, 'priority'), 1) then
  local lane = item(key, 'lane')
  redis.call('HINCRBY', k('tally', channel), lane .. '|' .. item(key, 'priority'), -1)
  redis.call('HINCRBY', k('tally', channel), lane .. '|' .. priority, 1)
  redis.call('HSET', record, 'priority', priority)
  place_lane(channel, lane)
end
return answer
