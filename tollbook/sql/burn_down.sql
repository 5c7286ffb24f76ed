-- How a quota is used up: the running sum of a meter, window by window.
-- in:  usage; $partner_id, $meter; $start, $end TIMESTAMPTZ, [start, end)
-- out: used_until TIMESTAMPTZ (the window's end), used DECIMAL in the meter's unit; in time order
SELECT
    window_start + INTERVAL 15 MINUTE AS used_until,
    sum(sum(quantity)) OVER (ORDER BY window_start) AS used
FROM usage
WHERE partner_id = $partner_id AND meter = $meter AND window_start >= $start AND window_start < $end
GROUP BY window_start
ORDER BY window_start
