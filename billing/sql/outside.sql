-- A partner's usage between two instants outside of the grants of its credentials. It is counted, and attribution marks
-- it.
-- in:  events (only those that count); $partner_id; $start, $end TIMESTAMPTZ, [start, end)
-- out: outside (ACTION, RESOURCE, NETWORK, UNKNOWN), credential, client_network (/24 or /48), service, route, requests
--      BIGINT, first_seen, last_seen TIMESTAMPTZ, event_ids VARCHAR[] (the earliest, at most 3); the most frequent
--      first
SELECT
    outside,
    credential,
    client_network,
    service,
    route,
    count(*)::BIGINT AS requests,
    min(occurred_at) AS first_seen,
    max(occurred_at) AS last_seen,
    list_transform(min({'at': occurred_at, 'id': event_id}, 3), lambda found: found.id) AS event_ids
FROM events
WHERE partner_id = $partner_id AND outside IS NOT NULL AND occurred_at >= $start AND occurred_at < $end
GROUP BY outside, credential, client_network, service, route
ORDER BY requests DESC, outside, credential, client_network, service, route
