-- The hashes that a refused line may be known by: with client addresses cut, and as it came, which letters had in the beginning.
-- in:  lines(line)
-- out: cut_sha256, whole_sha256; in the order of lines
SELECT
    sha256(cut_addresses(rtrim(line, chr(10) || chr(13)))) AS cut_sha256,
    sha256(rtrim(line, chr(10) || chr(13))) AS whole_sha256
FROM lines
