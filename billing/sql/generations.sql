-- Files of a source that were read before, with the hashes that identify them and the offset from which to continue.
-- in:  reads; $source
-- out: generation, head_bytes, head_sha256, "offset" BIGINT, tail_sha256; ordered
SELECT
    generation,
    arg_max(head_bytes, to_offset) AS head_bytes,
    arg_max(head_sha256, to_offset) AS head_sha256,
    max(to_offset)::BIGINT AS "offset",
    arg_max(tail_sha256, to_offset) AS tail_sha256
FROM reads
WHERE source = $source AND head_bytes > 0
GROUP BY generation
ORDER BY generation
