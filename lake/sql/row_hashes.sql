-- A digest of rows in no order.
-- in:  hashed (any columns)
-- out: rows, hashes HUGEINT (the sum of the hashes of the rows)
SELECT
    count(*) AS rows,
    coalesce(sum(hash(h)::HUGEINT), 0) AS hashes
FROM hashed AS h
