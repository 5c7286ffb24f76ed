-- Addresses as text that sorts numerically: '4' and 8 hex digits, or '6' and 32. IPv4 mapped into IPv6 is IPv4. Only
-- plain addresses are accepted: no port, zone, leading zero or network.
-- in:  calls(client_ip)
-- out: client_ip, key (NULL if it is not an address); one row per address
WITH asked AS (
    SELECT DISTINCT client_ip, contains(client_ip, ':') AS is_six, regexp_extract(client_ip, '([^:]*)$', 1) AS tail
    FROM calls
    WHERE client_ip IS NOT NULL
),

-- An IPv4 address, or the last four bytes of an IPv6 address in IPv4 notation.
dotted AS (
    SELECT
        client_ip,
        is_six,
        tail,
        CASE
            WHEN regexp_full_match(tail, '(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)') THEN format(
                '{:02x}{:02x}{:02x}{:02x}',
                TRY_CAST(split_part(tail, '.', 1) AS INTEGER),
                TRY_CAST(split_part(tail, '.', 2) AS INTEGER),
                TRY_CAST(split_part(tail, '.', 3) AS INTEGER),
                TRY_CAST(split_part(tail, '.', 4) AS INTEGER)
            )
        END AS four
    FROM asked
),

halved AS (
    SELECT
        client_ip,
        is_six,
        four,
        string_split(CASE
            WHEN NOT contains(tail, '.') THEN client_ip
            ELSE left(client_ip, length(client_ip) - length(tail)) || substr(four, 1, 4) || ':' || substr(four, 5)
        END, '::') AS halves
    FROM dotted
),

grouped AS (
    SELECT
        client_ip,
        is_six,
        four,
        len(halves) AS parts,
        CASE WHEN halves[1] = '' THEN [] ELSE string_split(halves[1], ':') END AS before,
        CASE WHEN len(halves) = 2 AND halves[2] != '' THEN string_split(halves[2], ':') ELSE [] END AS behind
    FROM halved
),

padded AS (
    SELECT
        client_ip,
        is_six,
        four,
        CASE
            WHEN len(list_filter(before || behind, lambda g: NOT regexp_full_match(g, '[0-9a-fA-F]{1,4}'))) > 0 THEN NULL
            WHEN parts = 1 AND len(before) = 8 OR parts = 2 AND len(before) + len(behind) <= 7 THEN array_to_string(
                list_transform(
                    before || list_transform(range(8 - len(before) - len(behind)), lambda z: '0') || behind,
                    lambda g: lpad(lower(g), 4, '0')
                ), ''
            )
        END AS six
    FROM grouped
)

SELECT
    client_ip,
    CASE
        WHEN NOT is_six THEN '4' || four
        WHEN starts_with(six, '00000000000000000000ffff') THEN '4' || right(six, 8)
        ELSE '6' || six
    END AS key
FROM padded
