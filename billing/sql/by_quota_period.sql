-- in:  metered; calendars(span, calendar); quota_periods(calendar, period_start, period_end: TIMESTAMPTZ, [start,
--      end)): without gaps from the first window to the last
-- out: span, period_start, period_end, events_partition, quantity DECIMAL(38, 0), last_window: one row for each period
--      with usage; ordered
WITH used AS (
    SELECT c.span, c.calendar, m.window_start, m.events_partition, sum(m.quantity) AS quantity
    FROM metered AS m
    INNER JOIN calendars AS c ON c.span = m.span
    GROUP BY c.span, c.calendar, m.window_start, m.events_partition
)

SELECT
    used.span,
    p.period_start,
    p.period_end,
    used.events_partition,
    sum(used.quantity)::DECIMAL(38, 0) AS quantity,
    max(used.window_start) AS last_window
FROM used
ASOF INNER JOIN quota_periods AS p ON p.calendar = used.calendar AND p.period_start <= used.window_start
GROUP BY used.span, p.period_start, p.period_end, used.events_partition
ORDER BY used.span, p.period_start, used.events_partition
