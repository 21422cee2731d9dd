-- What all scripts of the outbox share; put in front of each. KEYS[1] is the prefix of every key.
--
--   item:KEY      hash: one item from put until it is forgotten. state: queued | sending | sent | dead
--   file:KEY      the bytes of a file, until sent
--   lanes:C       sorted set: lanes of channel C with something to send, the next one first
--   lane:C:LANE   list: item keys in the order in which they must appear (a lane is a thread, or one person's whispers)
--   tally:C       hash "LANE|PRIORITY" -> how many
--   hold:C        hash LANE -> the time before which its head is not tried again
--   changes:C     sorted set: messages to edit and reactions to add, the next one first
--   after:KEY     list: reactions that wait for the message KEY to be sent
--   shown:KEY     set: names of emoji that the reaction KEY may have left on its message
--   alias:C:TS    the lane of the thread that begins at TS
--   moved:C:TS    the ts at which the thread that began at TS goes on, since its first message was deleted
--   pace:C        the time of the next post
--   bucket:METHOD hash tokens, at, pause_until: what is left of the budget of a method over all channels
--   units         set of "posts C" and "changes C" with work; lease:UNIT is who serves it: "TOKEN UNTIL"
--   waiting       sorted set by time put: item keys, and "edit:KEY"; counts: hash C -> items; bytes: of files
--   dead          list of what was given up, newest first
--
-- All times are Unix time, given by the caller. Nothing is ever put off for as long as FARTHEST_S: a time that lies
-- farther ahead was written by a clock that has been set back since, and is not waited for.
local FARTHEST_S = 400

local function k(...)
  return KEYS[1] .. ':' .. table.concat({...}, ':')
end

local function number(text, default)
  return tonumber(text or default) or default
end

local function score(priority, seq)
  return string.format('%.0f', priority * 1e13 + seq)
end

local function item(key, field)
  return redis.call('HGET', k('item', key), field) or ''
end

local function is_ahead(at, now)
  return at > now and at < now + FARTHEST_S
end

local function is_mine(unit, token)
  local holder = redis.call('GET', k('lease', unit)) or ''
  return string.match(holder, '^(%S+)') == token
end

-- The earliest time before which something that was inspected cannot be done; nil where nothing has to wait.
local soonest = nil
local function not_before(at)
  if not soonest or at < soonest then
    soonest = at
  end
end

-- What `take` makes of the first member of a sorted set of which it makes anything; nil where it makes nothing of any.
local function first_taken(set, take)
  local offset = 0
  while true do
    local members = redis.call('ZRANGE', set, offset, offset + 49)
    if #members == 0 then
      return nil
    end
    for _, member in ipairs(members) do
      local found = take(member)
      if found then
        return found
      end
    end
    offset = offset + 50
  end
end

-- Give the lane its place among the lanes: the best priority of anything in it (what is behind cannot overtake, so it
-- pulls), then the age of its head.
local function place_lane(channel, lane)
  local head = redis.call('LINDEX', k('lane', channel, lane), 0)
  if not head then
    redis.call('ZREM', k('lanes', channel), lane)
    redis.call('HDEL', k('hold', channel), lane)
    redis.call('HDEL', k('tally', channel), lane .. '|0', lane .. '|1', lane .. '|2',
      lane .. '|3')
    return
  end
  local best = 3
  for priority = 0, 3 do
    if number(redis.call('HGET', k('tally', channel), lane .. '|' .. priority), 0) > 0 then
      best = priority
      break
    end
  end
  redis.call('ZADD', k('lanes', channel), score(best, number(item(head, 'seq'), 0)), lane)
end

local function enter_lane(channel, lane, key, priority)
  redis.call('RPUSH', k('lane', channel, lane), key)
  redis.call('HINCRBY', k('tally', channel), lane .. '|' .. priority, 1)
  place_lane(channel, lane)
  redis.call('SADD', k('units'), 'posts ' .. channel)
end

local function add_change(channel, key, priority, now)
  local seq = redis.call('INCR', k('seq'))
  redis.call('ZADD', k('changes', channel), score(priority, seq), key)
  redis.call('SADD', k('units'), 'changes ' .. channel)
end

local function bury(entry, keep_s)
  redis.call('LPUSH', k('dead'), entry)
  redis.call('LTRIM', k('dead'), 0, 999)
  redis.call('EXPIRE', k('dead'), keep_s)
end

local function uncount(channel)
  if redis.call('HINCRBY', k('counts'), channel, -1) <= 0 then
    redis.call('HDEL', k('counts'), channel)
  end
end

-- Take an item of the posts out of its lane and out of all counts.
local function leave(key)
  local channel, lane = item(key, 'channel'), item(key, 'lane')
  if redis.call('LREM', k('lane', channel, lane), 1, key) > 0 then
    redis.call('HINCRBY', k('tally', channel), lane .. '|' .. item(key, 'priority'), -1)
  end
  redis.call('HDEL', k('hold', channel), lane)
  place_lane(channel, lane)
  redis.call('ZREM', k('waiting'), key)
  uncount(channel)
  local size = number(item(key, 'size'), 0)
  if size > 0 then
    redis.call('DECRBY', k('bytes'), size)
    redis.call('DEL', k('file', key))
  end
end
