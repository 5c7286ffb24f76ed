-- Asks `tollbook decide` about the key of a request. API_KEY_ID is its id, and TOLLBOOK_AWAY says what to do without an
-- answer: open or closed.
local http = require("socket.http")

local URL = "http://127.0.0.1:8091/v1/decision?deny=429&allow=200"
http.TIMEOUT = 0.5 -- seconds

function check(r)
    local key = r.subprocess_env["API_KEY_ID"]
    if not key then
        return 401
    end
    local answered, status, headers = http.request({
        url = URL,
        headers = { ["X-Tollbook-Credential"] = "api_key:" .. key },
        redirect = false,
    })
    if answered and status == 200 then
        return apache2.DECLINED
    end
    if answered and (status == 429 or status == 403) then
        for _, name in ipairs({ "Retry-After", "X-Tollbook-Reason" }) do
            local value = headers[name:lower()]
            if value then
                r.err_headers_out[name] = value
            end
        end
        return status
    end
    if r.subprocess_env["TOLLBOOK_AWAY"] == "closed" then
        return 503
    end
    return apache2.DECLINED
end
