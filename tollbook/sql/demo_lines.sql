-- The log lines of one gateway, in shipping order. Each ends with a newline.
-- in:  requests (demo_requests.sql); $gateway: rest | http | kong; $start_us, $end_us of shipped_us
-- out: line
WITH mine AS (
    SELECT
        r.*,
        CASE
            WHEN partner = 'initech' THEN 'http'
            WHEN partner = 'northwind' AND mix(n, 9) % 100 < 14 THEN 'kong'
            ELSE 'rest'
        END AS gateway,
        ['/v1/orders/{orderId}', '/v1/orders', '/v1/search', '/v1/export'][route_no + 1] AS route,
        ['/v1/orders/' || (1000 + mix(n, 10) % 90000), '/v1/orders', '/v1/search', '/v1/export'][route_no + 1] AS path,
        ['GET', 'POST', 'GET', 'GET'][route_no + 1] AS method,
        left(md5('tollbook' || n), 15) AS id,
        CASE partner WHEN 'northwind' THEN '203.0.113.' WHEN 'globex' THEN '198.51.100.' ELSE '192.0.2.' END || (mix(n, 11) % 24) AS ip
    FROM requests AS r
    WHERE shipped_us >= $start_us AND shipped_us < $end_us
),

written AS (
    SELECT
        shipped_us,
        n,
        copy,
        fault,
        CASE gateway
            WHEN 'rest' THEN
                '{"requestId":"' || md5(n::VARCHAR) || '","extendedRequestId":"' || id || '=","apiId":"a1b2c3d4e5","stage":"prod","ip":"' || ip
                || '","userArn":"' || CASE WHEN partner = 'globex' AND fault IS DISTINCT FROM 'anonymous' THEN 'arn:aws:sts::444455556666:assumed-role/GlobexExport/nightly' ELSE '-' END
                || '","apiKeyId":"' || CASE WHEN partner != 'northwind' OR fault = 'anonymous' THEN '-' WHEN fault = 'unknown' THEN 'zz00zz00zz' ELSE 'k9x2m4p6q8' END
                || '","requestTimeEpoch":"' || at_us // 1000 || '","httpMethod":"' || method || '","resourcePath":"' || route || '","path":"/prod' || path
                || '","status":"' || CASE WHEN fault = 'anonymous' THEN 401 ELSE status END || '","responseLength":"' || response_bytes || '","responseLatency":"' || latency_ms
                || '","userAgent":"partner-sdk/2.3' || CASE WHEN fault = 'quote' THEN ' "beta"' ELSE '' END || '"}'
            WHEN 'http' THEN
                '{"requestId":"' || id || '=","apiId":"f6g7h8i9j0","stage":"$default","ip":"' || ip
                || '","iss":"' || CASE WHEN fault = 'anonymous' THEN '-' ELSE 'https://login.initech.example/oauth2/default' END
                || '","azp":"' || CASE WHEN fault = 'anonymous' THEN '-' WHEN fault = 'unknown' THEN 'initech-trial' ELSE 'initech-wholesale' END
                || '","requestTimeEpoch":"' || at_us // 1000 || '","httpMethod":"' || method || '","routeKey":"' || method || ' ' || route || '","path":"' || path
                || '","status":"' || CASE WHEN fault = 'anonymous' THEN 401 ELSE status END || '","responseLength":"' || response_bytes || '","responseLatency":"' || latency_ms
                || '","userAgent":"okhttp/4.12' || CASE WHEN fault = 'quote' THEN ' "beta"' ELSE '' END || '"}'
            ELSE
                '{"request":{"id":"' || md5('kong' || n) || '","method":"' || method || '","uri":"' || path || '?page=' || mix(n, 12) % 9
                || '","size":' || 180 + mix(n, 13) % 400 || ',"headers":{"host":"api.example.com","apikey":"demo-secret-' || mix(n, 14) % 10 || '"}},"response":{"status":'
                || CASE WHEN fault = 'anonymous' THEN 401 ELSE status END || ',"size":' || response_bytes + 300 || '},"latencies":{"request":' || latency_ms || '},"started_at":' || at_us // 1000
                || ',"client_ip":"' || ip || CASE WHEN fault = 'quote' THEN '"x' ELSE '' END || '","route":{"name":"' || split_part(route, '/', 3) || '"},"service":{"name":"orders-api"}'
                || CASE WHEN fault = 'anonymous' THEN '' WHEN fault = 'unknown' THEN ',"consumer":{"id":"00000000-0000-0000-0000-000000000000"}'
                    ELSE ',"consumer":{"id":"7d4c1f0e-52b1-4a55-9f2e-0c6a1b9e4d21"}' END || '}'
        END AS line
    FROM mine
    WHERE gateway = $gateway
)

SELECT CASE WHEN fault = 'cut' THEN left(line, length(line) // 2) ELSE line END || chr(10) AS line
FROM written
ORDER BY shipped_us, n, copy
