-- The requests of throttled partners by second, of those that have a second with more than their rate
-- within a part of the time.
-- in:  events; throttles: span, partner_id, span_start, span_end, rate_per_s; spans do not overlap
--      $first, $last: UTC days that are read; $since, $until: seconds [since, until) with one above the rate
-- out: span, second (since the epoch), requests, refused (answered with 429); ordered
WITH counted AS (
    SELECT
        t.span,
        t.rate_per_s,
        epoch_us(e.occurred_at) // 1000000 AS second,
        count(*) AS requests,
        count(*) FILTER (WHERE e.status = 429) AS refused
    FROM events AS e
    INNER JOIN throttles AS t
        ON t.partner_id = e.partner_id AND e.occurred_at >= t.span_start AND e.occurred_at < t.span_end
    WHERE e.event_day BETWEEN $first AND $last
    GROUP BY ALL
)

SELECT span, second, requests, refused
FROM counted
WHERE span IN (SELECT span FROM counted WHERE requests > rate_per_s AND second >= $since AND second < $until)
ORDER BY span, second
