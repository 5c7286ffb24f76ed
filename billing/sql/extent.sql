-- in:  rollups
-- out: first_window, last_window; NULL if there is no usage
SELECT min(window_start) AS first_window, max(window_start) AS last_window
FROM rollups
