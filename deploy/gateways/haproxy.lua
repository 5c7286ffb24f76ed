-- Asks `tollbook decide` about the credential in txn.tollbook_credential. Sets txn.tollbook_status to 200 (allowed), 429
-- or 403 (denied), or 0 (no answer), and txn.tollbook_reason and txn.tollbook_retry_after of a denial.
local URL = "http://127.0.0.1:8091/v1/decision?deny=429&allow=200"
local TIMEOUT_MS = 500

local function first(headers, name)
    local values = headers and headers[name]
    return values and values[0] or ""
end

core.register_action("tollbook", { "http-req" }, function(txn)
    local credential = txn:get_var("txn.tollbook_credential")
    local answer = core.httpclient():get({
        url = URL,
        headers = { ["x-tollbook-credential"] = { credential } },
        timeout = TIMEOUT_MS,
    })
    local status = answer and answer.status or 0
    if status ~= 200 and status ~= 429 and status ~= 403 then
        status = 0
    end
    txn:set_var("txn.tollbook_status", status)
    if status ~= 0 then
        txn:set_var("txn.tollbook_reason", first(answer.headers, "x-tollbook-reason"))
        txn:set_var("txn.tollbook_retry_after", first(answer.headers, "retry-after"))
    end
end, 0)
