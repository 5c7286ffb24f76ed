-- The hashes that identify a refused line: with shortened addresses, and of the original, which older dead letters
-- have.
-- in:  lines(line)
-- out: cut_sha256, whole_sha256; in the order of lines
SELECT
    sha256(cut_addresses(rtrim(line, chr(10) || chr(13)))) AS cut_sha256,
    sha256(rtrim(line, chr(10) || chr(13))) AS whole_sha256
FROM lines
