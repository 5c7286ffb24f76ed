-- The last window with usage before an instant.
-- in:  rollups; $instant
-- out: window_start; null: there is none
SELECT max(window_start) AS window_start
FROM rollups
WHERE window_start < $instant
