-- The next edit or reaction that may be made now.
-- Answers {lost}, {idle}, {wait, until} or {edit, key, ts, content, failures} or {react, key, ts, item, failures,
-- names of emoji that may be there}.
-- ARGV: channel token now burst per_minute reserve
local channel, token, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local burst, per_s, reserve = tonumber(ARGV[4]), tonumber(ARGV[5]) / 60, tonumber(ARGV[6])
if not is_mine('changes ' .. channel, token) then
  return {'lost'}
end

local buckets = {}
local function bucket(method)
  if not buckets[method] then
    local values = redis.call('HMGET', k('bucket', method), 'tokens', 'at', 'pause_until')
    local at = number(values[2], now)
    if at > now then -- a clock was set back: count from here
      redis.call('HSET', k('bucket', method), 'at', ARGV[3])
      at = now
    end
    local tokens = number(values[1], burst) + (now - at) * per_s
    buckets[method] = {tokens = math.min(burst, tokens), pause_until = number(values[3], 0)}
  end
  return buckets[method]
end

-- Whether the budget allows one more; what matters more may use up the reserve.
local function spend(method, priority)
  local left = bucket(method)
  local needed = priority >= 2 and 1 + reserve or 1
  if is_ahead(left.pause_until, now) then
    not_before(left.pause_until)
    return false
  end
  if left.tokens + 1e-6 < needed then
    not_before(now + (needed - left.tokens) / per_s)
    return false
  end
  redis.call('HSET', k('bucket', method), 'tokens', left.tokens - 1, 'at', ARGV[3])
  redis.call('EXPIRE', k('bucket', method), 86400)
  return true
end

local function take(key)
  local record = k('item', key)
  local kind = item(key, 'kind')
  if kind == '' then -- forgotten meanwhile
    redis.call('ZREM', k('changes', channel), key)
    redis.call('ZREM', k('waiting'), key, 'edit:' .. key)
    return nil
  end
  local at = number(item(key, 'next_edit_at'), 0)
  if is_ahead(at, now) then
    return not_before(at)
  end
  if kind == 'react' then
    if not spend('react', number(item(key, 'priority'), 1)) then
      return nil
    end
    -- Whatever was tried may be there, also by a process that died over it: all but the newest is taken away.
    local body = item(key, 'item')
    redis.call('SADD', k('shown', key), cjson.decode(body).name)
    redis.call('HSET', record, 'making', body)
    return {'react', key, item(key, 'ts'), body, item(key, 'edit_failures'),
      table.concat(redis.call('SMEMBERS', k('shown', key)), ' ')}
  end
  if not spend('update', number(item(key, 'edit_priority'), 2)) then
    return nil
  end
  if redis.call('HEXISTS', record, 'edit') == 1 then -- else a process died with it in its hands
    redis.call('HSET', record, 'editing', item(key, 'edit'), 'editing_said', item(key, 'edit_said'),
      'editing_since', item(key, 'edit_since'))
    redis.call('HDEL', record, 'edit', 'edit_said', 'edit_since')
  end
  return {'edit', key, item(key, 'ts'), item(key, 'editing'), item(key, 'edit_failures')}
end

return first_taken(k('changes', channel), take) or soonest and {'wait', string.format('%.17g', soonest)} or {'idle'}
