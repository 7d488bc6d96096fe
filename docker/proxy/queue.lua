-- Requests to an instance that has as many open ones as it may have: they wait for a moment, in the order in which they came.
-- Whose turn it is loses `txn.why`; all others are refused, also one that is broken off in here.
-- Those that wait are counted as open by the proxy, too, so what is really open is the difference.

local step_ms, patience_ms = 50, 3000
-- A waiting request whose client went away is not told of: it is one that has not looked for so long.
local gone_ms = 5 * step_ms

-- address → tickets of those that wait → when they looked last
local queues = {}
local last_ticket = 0

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec // 1000
end

local function count(queue, ticket, now)
  local ahead, all = 0, 0
  for other, seen in pairs(queue) do
    if now - seen > gone_ms then
      queue[other] = nil
    else
      all = all + 1
      if other < ticket then ahead = ahead + 1 end
    end
  end
  return ahead, all
end

core.register_action("queue", { "http-req" }, function(txn)
  local address, bound = txn:get_var("txn.tracked"), tonumber(txn:get_var("txn.bound"))
  local begun = now_ms()
  last_ticket = last_ticket + 1
  local ticket = last_ticket
  while true do
    local now = now_ms()
    local queue = queues[address] or {}
    queues[address] = queue
    queue[ticket] = now
    local ahead, all = count(queue, ticket, now)
    local isTurn = txn.f:sc0_conn_cur() - all + ahead < bound
    if isTurn or now - begun >= patience_ms then
      queue[ticket] = nil
      if next(queue) == nil then queues[address] = nil end
      if isTurn then txn:unset_var("txn.why") end
      return
    end
    core.msleep(step_ms)
  end
end)
