-- in:  audit
-- out: its rows in the order in which they were recorded
SELECT number, recorded_at, recorded_by, what, subject, facts, before_sha256, sha256
FROM audit
ORDER BY number
