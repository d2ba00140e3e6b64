-- Each call is one step of ragkit/gateway/cache_redis.py: nothing of another client comes between.
--
--   PREFIX:e:SCOPE:ID  hash: an entry; ends by itself      PREFIX:k:SCOPE:KEY  its id, by the digest of its key
--   PREFIX:s:SCOPE     sorted set: ids of a scope           PREFIX:size         hash SCOPE:ID -> BYTES:KEY
--   PREFIX:used, made  sorted sets SCOPE:ID by time         PREFIX:bytes, last  the sum of bytes, the last id
--   PREFIX:h:NUMBER    hash: a hit; PREFIX:hit the last     PREFIX:t:TRACE      set: the hits of a trace of a tenant
--   PREFIX:l:SCOPE:ID  hash NUMBER -> "COSINE RIGHT"        PREFIX:v:TENANT     hash: wrong, judged
--   PREFIX:counts      hash: what happened how often
local step, prefix = ARGV[1], ARGV[2]

local function name(...)
  return table.concat({prefix, ...}, ':')
end

local function drop(member)
  local scope, id = string.match(member, '^(.*):(%d+)$')
  local told = redis.call('HGET', name('size'), member)
  redis.call('UNLINK', name('e', scope, id), name('l', scope, id))
  redis.call('ZREM', name('used'), member)
  redis.call('ZREM', name('made'), member)
  redis.call('ZREM', name('s', scope), id)
  if not told then
    return 0
  end
  local size, key = string.match(told, '^(%d+):(.*)$')
  redis.call('HDEL', name('size'), member)
  redis.call('DECRBY', name('bytes'), size)
  if redis.call('GET', name('k', scope, key)) == id then
    redis.call('DEL', name('k', scope, key))
  end
  return 1
end

local function count(what)
  redis.call('HINCRBY', name('counts'), what, 1)
end

-- What turned out of a hit: '1', '0', or '' for nothing.
local function turned_out(number, right)
  local hit = name('h', number)
  local was, scope, entry, similarity, kind, tenant = unpack(
    redis.call('HMGET', hit, 'right', 'scope', 'entry', 'similarity', 'kind', 'tenant_digest'))
  if not kind then
    return
  end
  if kind ~= 'doubted' then
    local sums = name('v', tenant)
    if was ~= '' then redis.call('HINCRBY', sums, 'judged', -1) end
    if was == '0' then redis.call('HINCRBY', sums, 'wrong', -1) end
    if right ~= '' then redis.call('HINCRBY', sums, 'judged', 1) end
    if right == '0' then redis.call('HINCRBY', sums, 'wrong', 1) end
  end
  redis.call('HSET', hit, 'right', right)
  local labels = name('l', scope, entry)
  if right == '' then
    redis.call('HDEL', labels, number)
  elseif redis.call('EXISTS', name('e', scope, entry)) == 1 then
    redis.call('HSET', labels, number, similarity .. ' ' .. right)
  end
end

if step == 'put' then
  local scope, key, now, size, most, most_bytes, ttl_ms, ended, question, vector, body, nano_usd =
    unpack(ARGV, 3)
  local pointer = name('k', scope, key)
  local old = redis.call('GET', pointer)
  if old then
    drop(scope .. ':' .. old)
  end
  -- By the clock, so that an id is not given again should Redis have thrown out the last one.
  local clock = redis.call('TIME')
  local id = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  id = string.format('%.0f', math.max(id, tonumber(redis.call('GET', name('last')) or '0') + 1))
  redis.call('SET', name('last'), id)
  local member, entry = scope .. ':' .. id, name('e', scope, id)
  redis.call('HSET', entry, 'question', question, 'vector', vector, 'body', body, 'nano_usd', nano_usd,
    'created', now, 'key', key)
  redis.call('SET', pointer, id)
  if ttl_ms ~= '' then
    redis.call('PEXPIRE', entry, ttl_ms)
    redis.call('PEXPIRE', pointer, ttl_ms)
  end
  redis.call('ZADD', name('s', scope), id, id)
  redis.call('ZADD', name('used'), now, member)
  redis.call('ZADD', name('made'), now, member)
  redis.call('HSET', name('size'), member, size .. ':' .. key)
  redis.call('INCRBY', name('bytes'), size)
  if ended ~= '' then
    for _, each in ipairs(redis.call('ZRANGEBYSCORE', name('made'), '-inf', '(' .. ended)) do
      drop(each)
      count('expired')
    end
  end
  while redis.call('ZCARD', name('used')) > tonumber(most)
    or tonumber(redis.call('GET', name('bytes')) or '0') > tonumber(most_bytes) do
    local oldest = redis.call('ZRANGE', name('used'), 0, 0)[1]
    if not oldest then
      redis.call('SET', name('bytes'), 0)
      break
    end
    drop(oldest)
    count('evicted')
  end
  return id
end

if step == 'drop' then
  local dropped = drop(ARGV[3])
  if dropped == 1 and ARGV[4] ~= '' then
    count(ARGV[4])
  end
  return dropped
end

if step == 'note' then
  local tenant, trace_id, scope, entry, asked, stored, similarity, kind, right, at, tenant_digest, trace, kept =
    unpack(ARGV, 3)
  local number = redis.call('INCR', name('hit'))
  redis.call('HSET', name('h', number), 'tenant', tenant, 'trace_id', trace_id, 'scope', scope, 'entry', entry,
    'asked', asked, 'stored', stored, 'similarity', similarity, 'kind', kind, 'right', '', 'at', at,
    'tenant_digest', tenant_digest, 'trace', trace)
  if trace ~= '' then
    redis.call('SADD', name('t', trace), number)
  end
  if right ~= '' then
    turned_out(number, right)
  end
  local old = number - tonumber(kept)
  if redis.call('EXISTS', name('h', old)) == 1 then
    turned_out(old, '')
    local of = redis.call('HGET', name('h', old), 'trace')
    if of ~= '' then
      redis.call('SREM', name('t', of), old)
    end
    redis.call('DEL', name('h', old))
  end
  return number
end

if step == 'judge' then
  local judged = 0
  for _, number in ipairs(redis.call('SMEMBERS', name('t', ARGV[3]))) do
    if redis.call('HGET', name('h', number), 'kind') == 'served' then
      turned_out(number, ARGV[4])
      judged = judged + 1
    end
  end
  return judged
end
