-- The different methods and routes of all usage: what meters' filters are compared with.
-- in:  rollups
-- out: method, route: '' where the log had none; one row per pair
SELECT DISTINCT coalesce(method, '') AS method, coalesce(route, '') AS route
FROM rollups
