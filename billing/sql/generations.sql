-- Files that were read before, of all sources, with the hashes that identify them and the offset to continue from.
-- in:  reads
-- out: generation, head_bytes, head_sha256, "offset" BIGINT, tail_sha256, text_digest, marks, file_key, source, file;
--      ordered.
--      text_digest, marks and file_key are '' if the last read was by a version that did not record them
SELECT
    generation,
    arg_max(head_bytes, to_offset) AS head_bytes,
    arg_max(head_sha256, to_offset) AS head_sha256,
    max(to_offset)::BIGINT AS "offset",
    arg_max(tail_sha256, to_offset) AS tail_sha256,
    arg_max(coalesce(text_digest, ''), to_offset) AS text_digest,
    coalesce(string_agg(marks, ' ' ORDER BY to_offset) FILTER (marks <> ''), '') AS marks,
    arg_max(coalesce(file_key, ''), to_offset) AS file_key,
    source,
    arg_max(file, to_offset) AS file
FROM reads
WHERE head_bytes > 0
GROUP BY source, generation
ORDER BY source, generation
