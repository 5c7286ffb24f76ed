-- Macros that several formats share. Run once per database.
CREATE OR REPLACE MACRO present(x) AS nullif(nullif(x, '-'), '');

-- Seconds (below 10^11) or milliseconds (below 10^15) since the epoch, as text, to microseconds. A greater number has
-- an unknown unit: -1, which is out of range. NULL if it is not a number. Decimals, since a cast to BIGINT also reads
-- 0x10, and would round; every cast reads 1_38. Seconds of the usual length get an exponent that makes them microseconds,
-- since a product of decimals takes five times as long. Of others 22 digits, so that the products fit: an overflow would
-- fail the whole statement. Each cast occurs once: DuckDB computes a shared cast for every row, needed or not.
CREATE OR REPLACE MACRO decimal_epoch_us(number, x) AS CASE
    WHEN number < 100000000000 THEN TRY_CAST(number * 1000000 AS BIGINT)
    WHEN number < 1000000000000000 THEN TRY_CAST(number * 1000 AS BIGINT)
    WHEN TRY_CAST(x AS DECIMAL(38, 0)) IS NOT NULL THEN -1
END;
CREATE OR REPLACE MACRO epoch_number_us(x) AS CASE
    WHEN contains(x, '_') THEN NULL
    WHEN strpos(x, '.') = 11 AND length(x) <= 17 AND NOT (contains(x, 'e') OR contains(x, 'E') OR contains(x, ' '))
        THEN TRY_CAST(TRY_CAST(x || 'e6' AS DECIMAL(18, 0)) AS BIGINT)
    WHEN contains(x, '.') OR contains(x, 'e') OR contains(x, 'E') THEN decimal_epoch_us(TRY_CAST(x AS DECIMAL(22, 6)), x)
    WHEN length(x) <= 11 THEN TRY_CAST(TRY_CAST(x AS DECIMAL(11, 0)) AS BIGINT) * 1000000
    WHEN length(x) <= 15 THEN TRY_CAST(TRY_CAST(x AS DECIMAL(15, 0)) AS BIGINT) * 1000
    WHEN TRY_CAST(x AS DECIMAL(38, 0)) IS NOT NULL THEN -1
END;

-- A whole number from 0 to 10^16, as text; NULL for anything else. Gateways also write it with a point or an exponent
-- (200.0, 2.143e3), as their number type is a double. A cast to BIGINT would round 10.5, and read 0x10 and 1_38: it
-- holds only for a number that is written as DuckDB would, which takes a third of the time of looking for other
-- characters. A cast to DECIMAL reads only 1_38.
CREATE OR REPLACE MACRO whole_decimal(number) AS
    CASE WHEN number BETWEEN 0 AND 10000000000000000 AND number = floor(number) THEN TRY_CAST(number AS BIGINT) END;
CREATE OR REPLACE MACRO whole_number(x) AS CASE
    WHEN TRY_CAST(x AS BIGINT)::VARCHAR = x
        THEN CASE WHEN TRY_CAST(x AS BIGINT) BETWEEN 0 AND 10000000000000000 THEN TRY_CAST(x AS BIGINT) END
    WHEN NOT contains(x, '_') THEN whole_decimal(TRY_CAST(x AS DECIMAL(38, 18)))
END;

-- Milliseconds as text to microseconds, rounded, below 10^15; NULL for anything else. 15 digits, so that the product
-- fits: an overflow would fail the whole statement, and with an exponent the cast accepts one more.
CREATE OR REPLACE MACRO decimal_latency_us(number) AS
    CASE WHEN number BETWEEN 0 AND 999999999999.999 THEN TRY_CAST(number * 1000 AS BIGINT) END;
CREATE OR REPLACE MACRO latency_us(ms) AS CASE
    WHEN TRY_CAST(ms AS BIGINT)::VARCHAR = ms
        THEN CASE WHEN TRY_CAST(ms AS BIGINT) BETWEEN 0 AND 999999999999 THEN TRY_CAST(ms AS BIGINT) * 1000 END
    WHEN NOT contains(ms, '_') THEN decimal_latency_us(TRY_CAST(ms AS DECIMAL(15, 3)))
END;

-- 02/Jul/2024:06:00:00 +0200 to microseconds since the epoch; NULL for anything else. A leap second becomes the next
-- second.
CREATE OR REPLACE MACRO clf_time_us(x) AS CASE
    WHEN contains(x, ':59:60') THEN epoch_us(try_strptime(replace(x, ':59:60', ':59:59'), '%d/%b/%Y:%H:%M:%S %z')) + 1000000
    ELSE epoch_us(try_strptime(x, '%d/%b/%Y:%H:%M:%S %z'))
END;

-- 02/Jul/2024:06:00:00.042, of a log that is written in UTC, to microseconds since the epoch; NULL for anything else.
CREATE OR REPLACE MACRO clf_ms_time_us(x) AS CASE
    WHEN contains(x, ':59:60') THEN epoch_us(try_strptime(replace(x, ':59:60', ':59:59'), '%d/%b/%Y:%H:%M:%S.%g')) + 1000000
    ELSE epoch_us(try_strptime(x, '%d/%b/%Y:%H:%M:%S.%g'))
END;

-- Whether a text has a character that stands for a byte that is not UTF-8 (ingest/decode/framing.py); and a text in which
-- these characters are shown as their bytes, \xe9.
CREATE OR REPLACE MACRO has_bad_bytes(text) AS regexp_matches(text, '[\x{10FF80}-\x{10FFFF}]');
CREATE OR REPLACE MACRO with_bytes(text) AS CASE WHEN has_bad_bytes(text) THEN array_to_string(list_transform(
    string_split(text, ''), lambda c: CASE WHEN has_bad_bytes(c) THEN format('\x{:02x}', unicode(c) - 1113856) ELSE c END
), '') ELSE text END;

-- The path of a request target in origin or absolute form, without query and fragment, not decoded; else NULL.
CREATE OR REPLACE MACRO path_of(target) AS
    nullif(regexp_extract(target, '^(?:[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*)?(/[^?#]*)', 1), '');

-- A host without port and brackets.
CREATE OR REPLACE MACRO host_of(host) AS
    nullif(CASE WHEN starts_with(host, '[') THEN regexp_extract(host, '^\[([^\]]*)', 1) ELSE split_part(host, ':', 1) END, '');

-- An address without port and brackets.
CREATE OR REPLACE MACRO address_of(ip) AS
    nullif(CASE
        WHEN NOT contains(ip, ':') THEN ip
        WHEN starts_with(ip, '[') THEN regexp_extract(ip, '^\[([^\]]*)', 1)
        WHEN contains(ip, '.') AND contains(ip, ':') AND NOT contains(ip, '::') THEN split_part(ip, ':', 1)
        ELSE ip
    END, '');

-- The first three numbers of an IPv4 address with their dots; '' for anything else.
CREATE OR REPLACE MACRO ipv4_head(ip) AS regexp_extract(ip, '^\d{1,3}\.\d{1,3}\.\d{1,3}\.');

-- The stored network of an address with `head` ipv4_head: IPv4 /24, IPv6 /48, else NULL. Networks that cut_addresses
-- wrote stay unchanged.
CREATE OR REPLACE MACRO network_of(ip, head) AS CASE
    WHEN NOT contains(ip, ':') THEN CASE WHEN head != '' THEN head || '0/24' END
    WHEN contains(ip, '.') THEN nullif(regexp_extract(ip, '(\d{1,3}\.\d{1,3}\.\d{1,3}\.)\d{1,3}$', 1) || '0/24', '0/24')
    WHEN regexp_matches(ip, '^[0-9a-fA-F:]{2,39}(?:/48)?$') THEN
        array_to_string(list_transform(
            (list_filter(string_split(split_part(ip, '::', 1), ':'), lambda g: g != '')
                || CASE WHEN contains(ip, '::') THEN list_transform(
                    range(8 - len(list_filter(string_split(ip, ':'), lambda g: g != ''))), lambda z: '0') ELSE [] END
                || list_filter(string_split(split_part(ip, '::', 2), ':'), lambda g: g != ''))[1:3],
            lambda g: coalesce(nullif(ltrim(lower(g), '0'), ''), '0')), ':') || '::/48'
END;

-- RFC 3339 with a zone to microseconds since the epoch, truncated; NULL for anything else, or without a zone. A leap
-- second becomes the next second. The usual forms are tried first, since LIKE takes a fifth of the time of the regex.
-- The cast would also read a blank or a sign for a digit, and a second of one digit.
CREATE OR REPLACE MACRO iso_time_us(x) AS coalesce(
    CASE WHEN (x LIKE '____-__-__T__:__:__Z' OR x LIKE '____-__-__T__:__:__._%Z' OR x LIKE '____-__-__T__:__:__+0_:00')
        AND x >= '0' AND NOT contains(x, ' ') AND x NOT LIKE '%:_.%' THEN epoch_us(TRY_CAST(x AS TIMESTAMPTZ)) END,
    CASE WHEN regexp_full_match(x, '(?i)\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-][01]\d:?[0-5]\d)') THEN
        epoch_us(TRY_CAST(replace(upper(x), ':59:60', ':59:59') AS TIMESTAMPTZ)) + CASE WHEN contains(x, ':59:60') THEN 1000000 ELSE 0 END
    END);

-- Nanoseconds since the epoch, as text, to microseconds; 0 and '' mean absent.
CREATE OR REPLACE MACRO epoch_ns_us(x) AS CASE
    WHEN TRY_CAST(x AS BIGINT)::VARCHAR = x THEN nullif(TRY_CAST(x AS BIGINT) // 1000, 0)
    WHEN NOT contains(x, '_') THEN nullif(TRY_CAST(TRY_CAST(x AS DECIMAL(19, 0)) AS BIGINT) // 1000, 0)
END;

-- Seconds as text to milliseconds as text, exactly: an exponent moves the decimal point. Only a JSON number that
-- already has an exponent is multiplied. Anything else stays visible in the text, and is refused as out of range.
CREATE OR REPLACE MACRO ms_of_seconds(x) AS CASE
    WHEN contains(x, 'e') OR contains(x, 'E') THEN coalesce((TRY_CAST(x AS DECIMAL(28, 9)) * 1000)::VARCHAR, x || ' s')
    ELSE x || 'e3'
END;

-- A duration in seconds with the unit ("0.005192s") to milliseconds as text.
CREATE OR REPLACE MACRO ms_of_duration(x) AS ms_of_seconds(rtrim(x, 's'));

-- The milliseconds, as text, from one time in microseconds to another. A cast takes 12 digits with an exponent, and
-- they cost a quarter of a product of decimals.
CREATE OR REPLACE MACRO ms_between(start_us, end_us) AS CASE
    WHEN end_us - start_us BETWEEN 0 AND 999999999999 THEN (end_us - start_us)::VARCHAR || 'e-3'
    ELSE ((end_us - start_us) * 0.001)::DECIMAL(18, 3)::VARCHAR
END;

-- The sum of three times in seconds to milliseconds as text, exactly; NULL if one is absent or -1.
CREATE OR REPLACE MACRO summed_ms(a, b, c) AS CASE
    WHEN NOT (starts_with(a, '-1') OR starts_with(b, '-1') OR starts_with(c, '-1')) THEN coalesce(
        TRY_CAST((TRY_CAST(a AS DECIMAL(18, 9)) + TRY_CAST(b AS DECIMAL(18, 9)) + TRY_CAST(c AS DECIMAL(18, 9))) * 1000 AS DECIMAL(18, 3))::VARCHAR,
        a || ' + ' || b || ' + ' || c || ' s'
    )
END;

-- The host of an absolute URL, with its port, without user and password.
CREATE OR REPLACE MACRO authority_of(url) AS nullif(regexp_extract(url, '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#]*@)?([^/?#]*)', 1), '');

-- A JSON line in which every number is a text, if it has a number with a point, an exponent or the value -0: DuckDB
-- reads those as doubles, and spells them otherwise. A match begins where the one before ended, takes whole strings, and
-- ends at a number or the end.
CREATE OR REPLACE MACRO exact_numbers(line) AS CASE
    WHEN regexp_matches(line, '[:,\[]\s*(?:-?[0-9]+[.eE]|-0)') THEN rtrim(regexp_replace(
        line, '((?:"(?:[^"\\]|\\.)*"|[^"0-9-])*)(?:(-?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?)|$)', '\1"\2"', 'g'
    ), '"')
    ELSE line
END;

-- The records of a JSON line, as JSON text; a line without a list of records is its own record.
CREATE OR REPLACE MACRO records_in(line, path) AS
    CASE WHEN json_valid(line) THEN coalesce(nullif(json_extract(exact_numbers(line), path)::VARCHAR[], []), [line]) ELSE [line] END;

-- The events of a list, as JSON text, with their numbers as they are; a broken line is its own.
CREATE OR REPLACE MACRO batch_in(line) AS CASE WHEN json_valid(line) THEN json_extract(line, '$[*]')::VARCHAR[] ELSE [line] END;

-- The log events in an envelope of CloudWatch Logs.
CREATE OR REPLACE MACRO log_events_in(line) AS
    CASE WHEN json_valid(line) THEN from_json(line, '{"logEvents": [{"message": "VARCHAR"}]}').logEvents END;

-- The log records of an OTLP request with the resource of each, as JSON text; one of NULLs if there is none.
CREATE OR REPLACE MACRO log_records_of(r) AS
    flatten(list_transform(r.resourceLogs, lambda sender: flatten(list_transform(sender.scopeLogs, lambda scope: list_transform(
        scope.logRecords, lambda record: struct_pack(resource := sender.resource::VARCHAR, record := record::VARCHAR)
    )))));
CREATE OR REPLACE MACRO log_records_in(line) AS coalesce(nullif(log_records_of(
    CASE WHEN starts_with(line, '{') AND json_valid(line) THEN
        from_json(exact_numbers(line), '{"resourceLogs": [{"resource": "JSON", "scopeLogs": [{"logRecords": ["JSON"]}]}]}')
    END
), []), [struct_pack(resource := NULL::VARCHAR, record := NULL::VARCHAR)]);

-- The JSON in a member of a JSON line, as text; the line itself if it has none.
CREATE OR REPLACE MACRO member_in(line, name) AS
    CASE WHEN starts_with(line, '{') AND json_valid(line) AND contains(line, name)
        THEN coalesce(json_extract(exact_numbers(line), '$."' || name || '"')::VARCHAR, line)
    ELSE line END;

-- A JSON string as text; NULL for any other JSON.
CREATE OR REPLACE MACRO text_of(json) AS CASE WHEN starts_with(json, '"') THEN json_extract_string(json, '$') END;

-- Why a line of a JSON format is not an object.
CREATE OR REPLACE MACRO no_object(line) AS CASE WHEN starts_with(line, '{') OR NOT json_valid(line) THEN 'NOT_JSON' ELSE 'NOT_OBJECT' END;

-- The value of a field of a JSON line as text; NULL without a path or a field, or if the value is '-' or empty.
CREATE OR REPLACE MACRO own_field(line, path) AS CASE WHEN path IS NOT NULL THEN present(json_extract_string(line, path)) END;

-- Whether ingest/decode/strict_json.py must check a JSON line before it can be a usage event: more than 256 colons
-- (which take 1,280 bytes) or 32 brackets, or a duplicate name in the event or its data. May flag a valid line, never
-- misses one.
CREATE OR REPLACE MACRO doubtful(line) AS
    (strlen(line) > 1280 AND length(line) - length(replace(line, ':', '')) > 256)
    OR strlen(line) - strlen(replace(replace(line, '{', ''), '[', '')) > 32
    OR CASE WHEN json_valid(line)
        THEN list_contains(list_transform(json_keys(line, ['$', '$.data']), lambda names: len(names) != list_unique(names)), TRUE)
    ELSE FALSE END;

-- The reason why a text is not a time: a missing zone is never guessed, and a year with more digits is out of range.
CREATE OR REPLACE MACRO time_problem(x) AS CASE
    WHEN coalesce(iso_time_us(x || 'Z'), clf_time_us(x || ' +0000')) IS NOT NULL THEN 'NO_ZONE'
    WHEN regexp_matches(x, '^(?:[+-]\d{4,9}|\d{5,9})-\d\d-\d\d[Tt ]') THEN 'TIME_RANGE'
    ELSE 'BAD_TIME'
END;

-- Why a JSON number, as text, is not a whole quantity of at most 10^16; NULL if it is one, or absent.
CREATE OR REPLACE MACRO quantity_problem(json) AS CASE
    WHEN json IS NULL OR json = 'null' OR regexp_full_match(json, '-?0|[0-9]{1,15}') THEN NULL
    WHEN NOT regexp_matches(json, '^-?[0-9]') THEN 'WRONG_TYPE'
    WHEN contains(json, '.') OR contains(lower(json), 'e') THEN 'NOT_INTEGER'
    WHEN starts_with(json, '-') THEN 'NEGATIVE'
    WHEN coalesce(TRY_CAST(json AS BIGINT) > 10000000000000000, TRUE) THEN 'NUMBER_RANGE'
END;

-- A JSON number as text, if it is a whole quantity.
CREATE OR REPLACE MACRO quantity_of(json) AS CASE WHEN quantity_problem(json) IS NULL THEN whole_number(json) END;

-- A time in one of three forms: RFC 3339, CLF, or a number since the epoch.
CREATE OR REPLACE MACRO any_time_us(x) AS CASE
    WHEN contains(x, '/') THEN clf_time_us(x)
    WHEN contains(x, ':') THEN iso_time_us(x)
    ELSE epoch_number_us(x)
END;

-- Google Cloud writes some times without a zone, in UTC.
CREATE OR REPLACE MACRO iso_or_utc_time_us(x) AS coalesce(iso_time_us(x), iso_time_us(x || 'Z'));

-- A time of Traefik: RFC 3339 in JSON, CLF in text.
CREATE OR REPLACE MACRO iso_or_clf_time_us(x) AS CASE WHEN contains(x, 'T') THEN iso_time_us(x) ELSE clf_time_us(x) END;

-- A time of HAProxy: CLF with a zone, or the same in UTC with milliseconds instead of a zone.
CREATE OR REPLACE MACRO haproxy_time_us(x) AS
    CASE WHEN contains(x, ' ') THEN clf_time_us(x) ELSE clf_ms_time_us(x) END;

-- A time of Caddy. Decimals beyond microseconds are noise of a double: they are cut off, so that no time moves forward.
CREATE OR REPLACE MACRO cut_time_us(x) AS CASE
    WHEN contains(x, ':') THEN iso_time_us(x)
    WHEN strpos(x, '.') = 11 THEN epoch_number_us(left(x, 17))
    WHEN contains(x, '.') THEN epoch_number_us(left(x, strpos(x, '.') + 6))
    ELSE epoch_number_us(x)
END;

-- A time of Cloudflare, by the timestamp format of the job: RFC 3339, nanoseconds or seconds. The end of a request in
-- whole seconds tells no latency.
CREATE OR REPLACE MACRO edge_time_us(x) AS CASE
    WHEN contains(x, '-') THEN iso_time_us(x)
    WHEN length(x) = 19 THEN epoch_ns_us(x)
    ELSE epoch_number_us(x)
END;
CREATE OR REPLACE MACRO fine_edge_time_us(x) AS CASE
    WHEN contains(x, '.') THEN iso_time_us(x)
    WHEN length(x) = 19 THEN epoch_ns_us(x)
END;

-- Nanoseconds as text to milliseconds as text, exactly. With an exponent a cast takes 12 digits: a quarter of an hour.
CREATE OR REPLACE MACRO ms_of_nanoseconds(x) AS
    CASE WHEN length(x) > 12 AND regexp_full_match(x, '[0-9]+') THEN left(x, length(x) - 6) || '.' || right(x, 6) ELSE x || 'e-6' END;

-- A line without the prefix of a container runtime: CRI ("time stream F ", F: a full line), compose ("name | ").
CREATE OR REPLACE MACRO unwrapped(line) AS CASE
    WHEN starts_with(line, '{') THEN line
    WHEN regexp_matches(line, '^(?:\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) std(?:out|err) F |[A-Za-z0-9][A-Za-z0-9._-]* +\| )')
        THEN regexp_replace(line, '^(?:\S+ std(?:out|err) F |\S+ +\| )', '')
    ELSE line
END;

-- A line split at its double quotes: odd parts are outside quotes, even parts inside. \\ and \" do not end a part; they
-- are control characters until unescaped() restores them. Several times as fast as one regular expression for the line.
CREATE OR REPLACE MACRO quote_parts(line) AS string_split(
    CASE
        WHEN contains(line, '\') THEN replace(replace(line, '\\', chr(1) || chr(1)), '\"', chr(1) || chr(2))
        ELSE line
    END,
    '"'
);

-- Whether a request line ends with its protocol, HTTP/1.1 or HTTP/2: if not, a raw quote may have cut it.
CREATE OR REPLACE MACRO ends_with_protocol(part) AS substr(part, -9, 6) = ' HTTP/' OR substr(part, -7, 6) = ' HTTP/';

-- The parts of a CLF line whose request holds raw quotes, which some servers do not escape: the request ends at the first
-- quote that follows its protocol and precedes a status. Apache writes an empty user as "", which a client may send. Other
-- lines keep their parts.
CREATE OR REPLACE MACRO whole_request(parts) AS CASE
    WHEN parts[2] = '' AND starts_with(parts[3], ' [') THEN [parts[1] || '-' || parts[3]] || parts[4:]
    WHEN len(parts) < 5 OR ends_with_protocol(parts[2]) THEN parts
    WHEN regexp_matches(array_to_string(parts, '"'), ' HTTP/[0-9.]+" (?:\d{3}|-) (?:\d+|-)') THEN [
        parts[1],
        regexp_extract(array_to_string(parts[2:], '"'), '^(.*? HTTP/[0-9.]+)" (?:\d{3}|-) (?:\d+|-)', 1)
    ] || string_split(regexp_extract(array_to_string(parts[2:], '"'), '(?s)^.*? HTTP/[0-9.]+"( (?:\d{3}|-) (?:\d+|-).*)$', 1), '"')
    ELSE parts
END;
CREATE OR REPLACE MACRO unescaped(part) AS CASE
    WHEN contains(part, chr(1)) THEN replace(replace(part, chr(1) || chr(1), '\\'), chr(1) || chr(2), '\"')
    ELSE part
END;

-- The fields before the request of a CLF line: "[host ]client ident user [time] ". After the ident '-' a user may
-- contain spaces.
CREATE OR REPLACE MACRO clf_head(part) AS CASE
    WHEN regexp_matches(part, '^\S+ +\S+ +\S+ +\[[^\]]*\] ?$')
        THEN regexp_extract(part, '^()(\S+) +\S+ +(\S+) +\[([^\]]*)\] ?$', ['host', 'client', 'user', 'time'])
    -- NGINX writes an empty user as nothing.
    WHEN regexp_matches(part, '^\S+ +-  +\[[^\]]*\] ?$')
        THEN regexp_extract(part, '^()(\S+) +-()  +\[([^\]]*)\] ?$', ['host', 'client', 'user', 'time'])
    WHEN regexp_matches(part, '^\S+ +\S*[.:]\S* +\S+ +\S+ +\[[^\]]*\] ?$')
        THEN regexp_extract(part, '^(\S+) +(\S+) +\S+ +(\S+) +\[([^\]]*)\] ?$', ['host', 'client', 'user', 'time'])
    ELSE regexp_extract(part, '^()(\S+) +- +(\S.*) +\[([^\]]*)\] ?$', ['host', 'client', 'user', 'time'])
END;

-- A request line; both fields are empty if it is not one (a TLS handshake, garbage). A method is any token of RFC 9110
-- in either case, so that writing `get` hides no request from a meter's filter. HTTP/0.9 has no protocol. A stray space
-- ends the target, so that sending one hides neither method nor path.
CREATE OR REPLACE MACRO request_line(part) AS regexp_extract(part, '^([A-Za-z][A-Za-z0-9!#$%&''*+.^_`|~-]*) (\S+)(?: .*)?$', ['method', 'target']);

-- Status and bytes after the request of a CLF line.
CREATE OR REPLACE MACRO clf_result(part) AS regexp_extract(part, '^ (\d{3}|-) (\d+|-)(?:\s|$)', ['status', 'bytes']);

-- An authenticated user: none with status 401, where the name is only a claim.
CREATE OR REPLACE MACRO verified_user(name, status) AS
    CASE WHEN name NOT IN ('', '-', '""') AND status IS DISTINCT FROM '401' THEN name END;

-- The user name of an Authorization header that the server may have checked, but does not say so (identity_kind 'claimed').
-- None with a status that it also answers before it checks: a redirect, a bad or refused request, one too many.
CREATE OR REPLACE MACRO claimed_user(name, status) AS CASE
    WHEN name NOT IN ('', '-', '""') AND NOT coalesce(status IN (
        '301', '302', '303', '307', '308', '400', '401', '403', '408', '413', '414', '421', '429', '431', '444', '494', '495', '496',
        '497', '503'
    ), FALSE) THEN name
END;

-- The last part of a line without its line end; rtrim takes ten times as long.
CREATE OR REPLACE MACRO without_newline(part) AS replace(replace(part, chr(10), ''), chr(13), '');

-- Whether a JSON record of Envoy is a connection of a TCP proxy, or no record of traffic: it has neither a request nor an
-- answer. A request that Envoy could not read has a status.
CREATE OR REPLACE MACRO is_connection(method, status) AS
    present(method) IS NULL AND coalesce(present(status), '0') IN ('0', '0.0', '000');

-- The host in a request target, in absolute form or of CONNECT.
CREATE OR REPLACE MACRO target_host(method, target) AS CASE
    WHEN starts_with(target, '/') THEN NULL
    WHEN method = 'CONNECT' THEN target
    ELSE authority_of(target)
END;

-- Redaction of refused lines: secrets, bodies and query strings are replaced by ***, everything else stays. They occur
-- in members with a sensitive name, whatever the value (text, number, list, object); in pairs of a name and a value; in
-- JSON inside a string; after a question mark; as name=value or Name: value; before the @ of a URL; or are recognised
-- by their form. A line may be truncated anywhere, or nest deeper than a regular expression can follow: an unclosed
-- value is redacted to the end of the line.

-- Sensitive names: those that end with a word of the first list, or contain a word of the second.
CREATE OR REPLACE MACRO sensitive_name() AS '(?:[^"\\]*(?:token|signature|query|querystring|querystringparameters|uriwithargs|body|raw_request|raw_response|[_. -]key|apikey|accesskey|privatekey|secretkey|subscriptionkey|auth|sig|pwd|passphrase|jwt|assertion|samlresponse|credentials|session[_-]?id|sessid|csrf|xsrf|otp|request[_.-]?payload|response[_.-]?payload|headers?\[\])s?[0-9]*\)?|[^"\\]*(?:password|passwd|secret|authorization|cookie|api[_-]?key(?:value)?\b)[^"\\]*)';
CREATE OR REPLACE MACRO sensitive_text_name() AS '(?:[a-z0-9_.-]*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|signature|sig|sessid|session[_-]?id|jwt|assertion|credential|csrf|xsrf|otp)s?[0-9]*)';

-- A JSON value: text, number, list or object, up to four levels; a deeper or unclosed value extends to the end.
CREATE OR REPLACE MACRO closed_text() AS '"(?:[^"\\]|\\.)*"';
CREATE OR REPLACE MACRO closed_1() AS '[\[{](?:[^"\[\]{}]|' || closed_text() || ')*[\]}]';
CREATE OR REPLACE MACRO closed_2() AS '[\[{](?:[^"\[\]{}]|' || closed_text() || '|' || closed_1() || ')*[\]}]';
CREATE OR REPLACE MACRO closed_3() AS '[\[{](?:[^"\[\]{}]|' || closed_text() || '|' || closed_2() || ')*[\]}]';
CREATE OR REPLACE MACRO one_value() AS '(?:"(?:[^"\\]|\\.)*"?|[^\s,"\[\]{}]+)';
CREATE OR REPLACE MACRO some_values() AS '[\[{](?:[^"\[\]{}]|' || closed_text() || '|' || closed_3() || ')*(?:[\]}]|.*)';
CREATE OR REPLACE MACRO any_value() AS '(?:' || one_value() || '|' || some_values() || ')';

-- JSON members with a sensitive name or a name with escapes, and pairs of a name and a value in either order.
CREATE OR REPLACE MACRO masked_members(line) AS
    regexp_replace(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(
                        regexp_replace(
                            regexp_replace(line, '(?is)(\\+"' || sensitive_name() || '\\+"\s*[:,])(?:[^"\\]|\\.)*', '\1***', 'g'),
                            '(?is)("' || sensitive_name() || '"\s*:\s*)' || one_value(), '\1"***"', 'g'),
                        '(?is)"(' || sensitive_name() || ')"(\s*:\s*)' || some_values(), '"\1"\2"***"', 'g'),
                    '(?s)"[^"\\]*\\[^"\\](?:[^"\\]|\\[^"])*"(\s*:\s*)' || any_value(), '"***"\1"***"', 'g'),
                '(?is)("(?:key|name|header|field|k|n)"\s*:\s*"' || sensitive_name() || '")(?:\s*,\s*' || closed_text() || '\s*:\s*' || any_value() || ')+', '\1,"***":"***"', 'g'),
            '(?is)"(value|val|v)"(\s*:\s*)' || any_value() || '(\s*,\s*"(?:key|name|header|field|k|n)"\s*:\s*"' || sensitive_name() || '"|[^{}]*$)', '"\1"\2"***"\3', 'g'),
        '(?is)([\[,]\s*"' || sensitive_name() || '"\s*,\s*)' || any_value(), '\1"***"', 'g');

-- Secrets recognised by their form: JWTs, Authorization headers, tokens of well-known services and of Tollbook, users
-- in URLs.
CREATE OR REPLACE MACRO masked_shapes(text) AS
    regexp_replace(
        regexp_replace(text, '(:(?:\\*/){2})[^/\s"?#\\]*@', '\1***@', 'g'),
        'eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?|(?i:bearer|basic|digest|negotiate) [A-Za-z0-9+/=._~-]{4,}|tb_[0-9a-f]{12}_[A-Za-z0-9_-]+|(?:sk|rk)_(?:live|test)_\w+|gh[pousr]_\w{20,}|github_pat_\w+|glpat-[\w-]{16,}|xox[abprs]-[\w-]+|-----BEGIN[^"]*', '***', 'g');

CREATE OR REPLACE MACRO masked(line) AS
    masked_shapes(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(
                        regexp_replace(masked_members(line), '\?(?:[^"\\]|\\.)* HTTP/([0-9.]+)', '?*** HTTP/\1', 'g'),
                        '\?(?:[^"\\\s]|\\.)*', '?***', 'g'),
                    '\t[^\t\n="]+=[^\t\n="][^\t\n"]*', chr(9) || '***', 'g'),
                '(?i)\b((?:proxy-)?authorization|(?:set-)?cookie2?)(''?\s*[:=]\s*)(?:\\+")?[^"\\\r\n|}]*', '\1\2***', 'g'),
            '(?i)\b(' || sensitive_text_name() || ')(''?\s*[:=]\s*)(?:\\+"[^"\\]*|"(?:[^"\\]|\\.)*"?|''[^''"]*''?|[^\s"'',;&|<>})\]\\]+)', '\1\2***', 'g'));

-- A text in which each client address is replaced by its network, as elsewhere in the lake. Decoding the text again
-- gives the network, not an address. Also shortens text that only looks like an address, such as a version of four
-- numbers.
CREATE OR REPLACE MACRO cut_addresses(text) AS
    regexp_replace(
        regexp_replace(
            regexp_replace(text, '\b(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}\b(?:/24\b)?', '\1.0/24', 'g'),
            '\b((?:[0-9a-fA-F]{1,4}:){3})(?:[0-9a-fA-F]{1,4}:){4}[0-9a-fA-F]{1,4}\b', '\1:/48', 'g'),
        '\b((?:[0-9a-fA-F]{1,4}:){1,3})(?:[0-9a-fA-F]{1,4}:){0,4}:(?:[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,6})?(?:/48\b)?', '\1:/48', 'g');

-- The role of an IAM principal: arn:aws:iam::ACCOUNT:role/NAME for an assumed-role session, which STS names without the
-- role's path, and for a role with a path; the role's unique id for a session that is named by it. NULL for users, root
-- users, federated users and services. A role's name is unique in its account whatever its path ("IAM identifiers", IAM
-- user guide), so that the path distinguishes no roles.
CREATE OR REPLACE MACRO role_of(principal) AS CASE
    -- String functions: a regular expression took a quarter of the time of a whole CloudTrail record.
    WHEN principal LIKE 'arn:%:sts::%:assumed-role/%/%' THEN
        replace(replace(split_part(principal, '/', 1), ':sts::', ':iam::'), ':assumed-role', ':role') || '/' || split_part(principal, '/', 2)
    WHEN contains(principal, ':role/')
        THEN nullif(regexp_replace(principal, '^(arn:[^:]+:iam::[^:]*:role/).*/([^/]+)$', '\1\2'), principal)
    WHEN starts_with(principal, 'AROA') THEN nullif(split_part(principal, ':', 1), principal)
END;
