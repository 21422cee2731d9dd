-- The next item that may be posted now; it is marked as being sent before anybody sends it.
-- Answers {lost}, {idle}, {wait, until} or {send, key, kind, is_uncertain, thread, is_rootless, …} (the order below).
-- ARGV: channel token now in_flight_s
local channel, token, now, in_flight_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if not is_mine('posts ' .. channel, token) then
  return {'lost'}
end
if redis.call('EXISTS', k('lanes', channel)) == 0 then
  return {'idle'}
end
local paced = number(redis.call('GET', k('pace', channel)), 0)
if is_ahead(paced, now) then
  return {'wait', string.format('%.17g', paced)}
end

-- Where the item goes. A post of ours that is in a thread itself stands for that thread.
local function thread_of(key)
  local asked, root = item(key, 'asked_thread'), item(key, 'thread_key')
  if asked ~= '' or root == '' then
    return asked, '0'
  end
  if item(root, 'state') == 'sent' and item(root, 'channel') == channel then
    local of_root = item(root, 'thread')
    return of_root ~= '' and of_root or item(root, 'ts'), '0'
  end
  return '', '1'
end

local function moved(thread)
  for _ = 1, 5 do -- its new first message may have been deleted, too
    local to = redis.call('GET', k('moved', channel, thread))
    if not to then
      break
    end
    thread = to
  end
  return thread
end

local function take(lane)
  local held = number(redis.call('HGET', k('hold', channel), lane), 0)
  if is_ahead(held, now) then
    return not_before(held)
  end
  local key = redis.call('LINDEX', k('lane', channel, lane), 0)
  if not key or item(key, 'state') == '' then -- never in our own hands; a queue must not stop for it
    redis.call('LPOP', k('lane', channel, lane))
    place_lane(channel, lane)
    return nil
  end
  local record = k('item', key)
  local is_uncertain = item(key, 'state') == 'sending'
  if is_uncertain then
    local settled = number(item(key, 'settle_at'), 0)
    if is_ahead(settled, now) then -- the request may still be under way, perhaps from a process that stalls
      return not_before(settled)
    end
  else
    if redis.call('HEXISTS', record, 'edit') == 1 then
      redis.call('HSET', record, 'content', item(key, 'edit'))
      redis.call('HDEL', record, 'edit', 'edit_said', 'edit_since')
      redis.call('ZREM', k('waiting'), 'edit:' .. key)
    end
    redis.call('HSET', record, 'state', 'sending', 'settle_at', string.format('%.17g', now + in_flight_s))
    redis.call('HSETNX', record, 'first_at', ARGV[3])
  end
  local thread, is_rootless = thread_of(key)
  return {'send', key, item(key, 'kind'), is_uncertain and '1' or '0', moved(thread), is_rootless, item(key, 'item'),
    item(key, 'content'), item(key, 'first_at'), item(key, 'failures'), item(key, 'failing_since'),
    item(key, 'file_id'), item(key, 'put_at')}
end

return first_taken(k('lanes', channel), take) or {'wait', string.format('%.17g', soonest or now)}
