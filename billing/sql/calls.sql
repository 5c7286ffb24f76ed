-- The distinct methods and routes of all usage, with which the filters of meters are compared.
-- in:  rollups
-- out: method, route: '' if the log had none; one row per pair
SELECT DISTINCT coalesce(method, '') AS method, coalesce(route, '') AS route
FROM rollups
