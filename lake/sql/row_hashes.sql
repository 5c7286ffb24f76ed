-- A digest of rows in no order.
-- in:  unhashed (rows of any table), hashed (rows of the same, or their sums by key)
-- out: rows (of unhashed), hashes HUGEINT (the sum of the hashes of hashed)
SELECT
    (SELECT count(*) FROM unhashed) AS rows,
    (SELECT coalesce(sum(hash(h)::HUGEINT), 0) FROM hashed AS h) AS hashes
