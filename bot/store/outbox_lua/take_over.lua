-- There is one bot and it has just started: nobody else serves anything, and requests of the one before have ended.
-- ARGV: settled_at
local settled_at = tonumber(ARGV[1])
for _, unit in ipairs(redis.call('SMEMBERS', k('units'))) do
  redis.call('DEL', k('lease', unit))
end
for _, key in ipairs(redis.call('ZRANGE', k('waiting'), 0, -1)) do
  if item(key, 'state') == 'sending' and number(item(key, 'settle_at'), 0) > settled_at then
    redis.call('HSET', k('item', key), 'settle_at', ARGV[1])
  end
end
return 1
