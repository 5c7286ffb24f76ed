-- Lines without the record that Docker's json-file driver puts around each: {"log":"…\n","stream":"stdout","time":"…"}.
-- in:  wrapped(line): lines that begin like one
-- out: line; in the same order
SELECT
    CASE
        WHEN
            json_valid(line) AND json_type(line, '$.log') = 'VARCHAR' AND json_type(line, '$.time') = 'VARCHAR'
            AND json_extract_string(line, '$.stream') IN ('stdout', 'stderr')
            THEN json_extract_string(line, '$.log')
        ELSE line
    END AS line
FROM wrapped
