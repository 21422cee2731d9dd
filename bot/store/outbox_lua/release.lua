-- Give a unit back. With only_idle = 1 just when it has no work (answers 0 when it has: go on).
-- ARGV: unit token only_idle
local unit, token, only_idle = ARGV[1], ARGV[2], ARGV[3] == '1'
if not is_mine(unit, token) then
  return 1
end
local what, channel = string.match(unit, '^(%S+) (.+)$')
local has_work = redis.call('EXISTS', k(what == 'posts' and 'lanes' or 'changes', channel)) == 1
if has_work and only_idle then
  return 0
end
redis.call('DEL', k('lease', unit))
if not has_work then
  redis.call('SREM', k('units'), unit)
end
return 1
