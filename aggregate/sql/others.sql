-- What all partners but one saw in a span of time.
-- in:  events; spans: span, partner_id (who is left out), span_start, span_end; $first, $last: UTC days
--      $begin, $until: [begin, end) of all spans
-- out: span, requests, errors (answered with 5xx), timed (requests with a latency), p95_us (the latency of rank
--      ceil(0.95 * timed), ascending); spans without requests are absent; ordered
SELECT
    s.span,
    count(*) AS requests,
    count(*) FILTER (WHERE e.status BETWEEN 500 AND 599) AS errors,
    count(e.latency_us) AS timed,
    quantile_disc(e.latency_us, 0.95) AS p95_us
FROM events AS e
INNER JOIN spans AS s
    ON e.occurred_at >= s.span_start AND e.occurred_at < s.span_end AND e.partner_id <> s.partner_id
WHERE e.event_day BETWEEN $first AND $last AND e.occurred_at >= $begin AND e.occurred_at < $until
GROUP BY s.span
ORDER BY s.span
