-- Requests of known credentials outside of what was agreed, by credential and UTC day. UNKNOWN, which cannot be
-- decided, is left out.
-- in:  events (only those that count); $days: UTC days
-- out: partner_id, credential_kind, credential, outside (ACTION, RESOURCE, NETWORK), event_day, requests, first_at,
--      last_at, networks (/24 or /48, at most 5), routes (at most 5); lists and rows ordered
SELECT
    partner_id,
    credential_kind,
    credential,
    outside,
    event_day,
    count(*) AS requests,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    coalesce(list_sort(list(DISTINCT client_network) FILTER (client_network IS NOT NULL)), [])[:5] AS networks,
    coalesce(list_sort(list(DISTINCT route) FILTER (route IS NOT NULL)), [])[:5] AS routes
FROM events
WHERE outside IN ('ACTION', 'RESOURCE', 'NETWORK') AND event_day IN (SELECT unnest($days::DATE[]))
GROUP BY partner_id, credential_kind, credential, outside, event_day
ORDER BY partner_id, credential_kind, credential, outside, event_day
