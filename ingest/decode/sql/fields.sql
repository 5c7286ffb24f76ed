-- The output of `tollbook run --dry-run`: the fields read from entries, safe to show. Ordered.
-- in:  normalised, attributed
-- out: position, item, occurred_at, method, path (without query, redacted), route, status, request_bytes, response_bytes,
--      latency_us, credential_kind and credential as the lake would store them, partner_id; also of refused entries
SELECT
    a.position,
    a.item,
    a.occurred_at,
    a.method,
    cut_addresses(masked(left(n.path, 1024))) AS path,
    a.route,
    a.status,
    a.request_bytes,
    a.response_bytes,
    a.latency_us,
    a.credential_kind,
    masked_shapes(a.credential) AS credential,
    a.partner_id
FROM attributed AS a
INNER JOIN normalised AS n ON n.position = a.position AND n.item = a.item
ORDER BY a.position, a.item
