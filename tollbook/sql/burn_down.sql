-- The burn-down of a quota: the running sum of a meter by window, within the validity of the plan.
-- in:  usage; $partner_id, $meter; $starts, $ends: lists of TIMESTAMPTZ, the disjoint intervals of validity, [start,
--      end) each
-- out: used_until TIMESTAMPTZ (the window's end), used DECIMAL in the meter's unit; in time order
WITH held AS (
    SELECT unnest($starts::TIMESTAMPTZ[]) AS held_from, unnest($ends::TIMESTAMPTZ[]) AS held_to
)

SELECT
    u.window_start + INTERVAL 15 MINUTE AS used_until,
    sum(sum(u.quantity)) OVER (ORDER BY u.window_start) AS used
FROM usage AS u
INNER JOIN held AS h ON u.window_start >= h.held_from AND u.window_start < h.held_to
WHERE u.partner_id = $partner_id AND u.meter = $meter
GROUP BY u.window_start
ORDER BY u.window_start
