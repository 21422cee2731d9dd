-- Keep a new item. Answers new, known, full or files-full.
-- ARGV: key kind channel thread thread_key priority user now item file size target_key target_ts max_items max_bytes keep_s
local key, kind, channel, thread, thread_key = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local priority, user, now, body, file = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local size, target_key, target_ts = tonumber(ARGV[11]), ARGV[12], ARGV[13]
local keep_s = ARGV[16]

local state = item(key, 'state')
if state ~= '' then
  if kind ~= 'react' or state == 'dead' or item(key, 'item') == body then
    return 'known'
  end
  redis.call('HSET', k('item', key), 'item', body)
  if state == 'sent' then -- another emoji in place of the one that is there
    redis.call('HSET', k('item', key), 'state', 'queued')
    redis.call('PERSIST', k('item', key))
    redis.call('ZADD', k('waiting'), now, key)
    redis.call('HINCRBY', k('counts'), channel, 1)
    add_change(channel, key, priority, now)
  end
  return 'new'
end
if number(redis.call('HGET', k('counts'), channel), 0) >= tonumber(ARGV[14]) then
  return 'full'
end
if size > 0 and number(redis.call('GET', k('bytes')), 0) + size > tonumber(ARGV[15]) then
  return 'files-full'
end

local seq = redis.call('INCR', k('seq'))
redis.call('HSET', k('item', key), 'kind', kind, 'channel', channel, 'item', body, 'priority', priority, 'seq', seq,
  'put_at', now, 'state', 'queued', 'asked_thread', thread, 'thread_key', thread_key, 'size', size)
redis.call('ZADD', k('waiting'), now, key)
redis.call('HINCRBY', k('counts'), channel, 1)

if kind == 'react' then
  if target_key ~= '' then
    local target = item(target_key, 'state')
    if target == 'queued' or target == 'sending' then
      redis.call('RPUSH', k('after', target_key), key)
      return 'new'
    end
    target_ts = item(target_key, 'ts')
  end
  redis.call('HSET', k('item', key), 'ts', target_ts)
  add_change(channel, key, priority, now)
  return 'new'
end

local lane
local root = thread_key ~= '' and item(thread_key, 'channel') == channel and thread_key or ''
if thread ~= '' then
  lane = redis.call('GET', k('alias', channel, thread)) or ('ts ' .. thread)
elseif root ~= '' then
  lane = item(root, 'lane')
else
  lane = 'key ' .. key
end
if kind == 'whisper' then
  local root_waits = root ~= '' and (item(root, 'state') == 'queued' or item(root, 'state') == 'sending')
  if not root_waits then
    lane = 'user ' .. user
  end
end
redis.call('HSET', k('item', key), 'lane', lane)
if size > 0 then
  redis.call('SET', k('file', key), file)
  redis.call('INCRBY', k('bytes'), size)
end
enter_lane(channel, lane, key, priority)
return 'new'
