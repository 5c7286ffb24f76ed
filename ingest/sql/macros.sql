-- Small readings that several formats share. Run once per connection.
CREATE OR REPLACE TEMP MACRO present(x) AS nullif(nullif(x, '-'), '');

-- Seconds (below 10^11) or milliseconds (below 10^15) since the epoch, as text, to microseconds. A number beyond is in a
-- unit that is not guessed at: -1, which is out of range. NULL where it is no number.
CREATE OR REPLACE TEMP MACRO scaled_us(n) AS CASE
    WHEN n BETWEEN 0 AND 99999999999 THEN n * 1000000
    WHEN n BETWEEN 0 AND 999999999999999 THEN n * 1000
    WHEN n IS NOT NULL THEN -1
END;
CREATE OR REPLACE TEMP MACRO epoch_number_us(x) AS
    coalesce(scaled_us(TRY_CAST(x AS BIGINT)), TRY_CAST(scaled_us(TRY_CAST(x AS DECIMAL(28, 6))) AS BIGINT));

-- 02/Jul/2024:06:00:00 +0200 to microseconds since the epoch; NULL where it is no such time.
CREATE OR REPLACE TEMP MACRO clf_time_us(x) AS epoch_us(try_strptime(x, '%d/%b/%Y:%H:%M:%S %z'));

-- The request target's path: no query, no fragment, not decoded; of an absolute form its path; else NULL.
CREATE OR REPLACE TEMP MACRO path_of(target) AS
    nullif(regexp_extract(target, '^(?:[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*)?(/[^?#]*)', 1), '');

-- A host without port and brackets.
CREATE OR REPLACE TEMP MACRO host_of(host) AS
    nullif(CASE WHEN starts_with(host, '[') THEN regexp_extract(host, '^\[([^\]]*)', 1) ELSE split_part(host, ':', 1) END, '');

-- An address as bare text, without port and brackets.
CREATE OR REPLACE TEMP MACRO address_of(ip) AS
    nullif(CASE
        WHEN NOT contains(ip, ':') THEN ip
        WHEN starts_with(ip, '[') THEN regexp_extract(ip, '^\[([^\]]*)', 1)
        WHEN contains(ip, '.') AND contains(ip, ':') AND NOT contains(ip, '::') THEN split_part(ip, ':', 1)
        ELSE ip
    END, '');

-- What is kept of an address: IPv4 /24, IPv6 /48, anything else nothing.
CREATE OR REPLACE TEMP MACRO network_of(ip) AS CASE
    WHEN NOT contains(ip, ':') THEN nullif(regexp_extract(ip, '^\d{1,3}\.\d{1,3}\.\d{1,3}\.') || '0/24', '0/24')
    WHEN contains(ip, '.') THEN nullif(regexp_extract(ip, '(\d{1,3}\.\d{1,3}\.\d{1,3}\.)\d{1,3}$', 1) || '0/24', '0/24')
    WHEN regexp_matches(ip, '^[0-9a-fA-F:]{2,39}$') THEN
        array_to_string(list_transform(
            (list_filter(string_split(split_part(ip, '::', 1), ':'), lambda g: g != '')
                || CASE WHEN contains(ip, '::') THEN list_transform(
                    range(8 - len(list_filter(string_split(ip, ':'), lambda g: g != ''))), lambda z: '0') ELSE [] END
                || list_filter(string_split(split_part(ip, '::', 2), ':'), lambda g: g != ''))[1:3],
            lambda g: coalesce(nullif(ltrim(lower(g), '0'), ''), '0')), ':') || '::/48'
END;

-- What may be kept of a refused line: secrets and query strings are struck out, everything else stays.
CREATE OR REPLACE TEMP MACRO masked(line) AS
    regexp_replace(
        regexp_replace(
            regexp_replace(
                regexp_replace(line, '(?i)"([a-z_-]*(?:authorization|cookie|api[_-]?key|apikey|token|secret|password|signature))"(\s*:\s*)"(?:[^"\\]|\\.)*"?', '"\1"\2"***"', 'g'),
                '(?i)"querystring"(\s*:\s*)\{[^{}]*\}?', '"querystring"\1{}', 'g'),
            '\?[^"\s]*', '?***', 'g'),
        'eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?|(?i:bearer|basic) [A-Za-z0-9+/=._~-]{8,}', '***', 'g');
