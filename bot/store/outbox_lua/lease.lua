-- Take or keep a unit for `lease_s`. Answers 1, or 0 when somebody else has it.
-- ARGV: unit token now lease_s
local unit, token, now, lease_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local holder = redis.call('GET', k('lease', unit)) or ''
local who, till = string.match(holder, '^(%S+) (%S+)$')
if who and who ~= token and is_ahead(tonumber(till), now) then
  return 0
end
redis.call('SET', k('lease', unit), token .. ' ' .. string.format('%.17g', now + lease_s), 'EX', 86400)
return 1
