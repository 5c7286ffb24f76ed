-- What commits to the rollups changed.
-- in:  rollups: the rows of those commits
-- out: partner_id, first_window (start of the earliest window), days (UTC days of events, ascending); ordered
SELECT partner_id, min(window_start) AS first_window, list_sort(list(DISTINCT event_day)) AS days
FROM rollups
GROUP BY partner_id
ORDER BY partner_id
