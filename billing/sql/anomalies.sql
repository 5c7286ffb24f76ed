-- Events of implausible size: at least 10^15 bytes or microseconds.
-- in:  events (only those that count); $start, $end TIMESTAMPTZ
-- out: source, event_id, partner_id, occurred_at, size BIGINT; ordered
SELECT source, event_id, partner_id, occurred_at, greatest(request_bytes, response_bytes, latency_us) AS size
FROM events
WHERE occurred_at >= $start AND occurred_at < $end
    AND (request_bytes >= 1000000000000000 OR response_bytes >= 1000000000000000 OR latency_us >= 1000000000000000)
ORDER BY ALL
