-- The numbers of lines that the template cache reads, typed by the macros that the format's statement uses.
-- in:  typed: the statement of ingest/decode/fields.py for the format
-- out: time_us, request_bytes, response_bytes, latency_us, as there; in the order of the lines
SELECT time_us, request_bytes, response_bytes, latency_us
FROM typed
