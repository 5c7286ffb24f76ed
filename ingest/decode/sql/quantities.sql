-- The quantities and the declared attributes of accepted entries, typed from the bytes of their lines.
-- in:  accepted(entry, its number; position, item, event_type, line: its text); lists(position, line): the lines that are
--      lists of events; properties(kind 'quantity' | 'attribute', name, path: JSON path within the entry, steps: the name of each
--      member on the path and the path of its object, types: of events, NULL: any)
-- out: entry, quantities, attributes (canonical JSON of exact decimals as texts, and of texts; NULL: none),
--      reason, detail (NULL: nothing is wrong). Entries that carry nothing have no row
WITH listed AS (
    -- DuckDB spells the numbers of an event that it takes out of a list otherwise. The whole list is prepared once.
    SELECT
        position,
        unnest(range(len(typed)))::INTEGER AS item,
        unnest(typed) AS typed,
        unnest(exact) AS exact
    FROM (
        SELECT
            position,
            CASE WHEN json_valid(line) THEN json_extract(line, '$[*]')::VARCHAR[] END AS typed,
            CASE WHEN json_valid(line) THEN json_extract(exact_numbers(line), '$[*]')::VARCHAR[] END AS exact
        FROM lists
    )
),

carrier AS (
    SELECT
        a.entry,
        a.event_type,
        -- `typed` has the types of values, `exact` their digits. Text lines have no members.
        CASE
            WHEN l.typed IS NOT NULL THEN l.typed
            WHEN starts_with(a.line, '{') AND json_valid(a.line) THEN a.line
        END AS typed,
        CASE
            WHEN l.exact IS NOT NULL THEN l.exact
            WHEN starts_with(a.line, '{') AND json_valid(a.line) THEN exact_numbers(a.line)
        END AS exact
    FROM accepted AS a
    LEFT JOIN listed AS l ON l.position = a.position AND l.item = a.item
),

found AS (
    SELECT
        e.entry,
        p.kind,
        p.name,
        json_type(e.typed, '$' || p.path) AS json_kind,
        json_extract_string(e.exact, '$' || p.path) AS text,
        len(list_filter(
            p.steps, lambda s: len(list_filter(json_keys(e.typed, '$' || s.parent), lambda member: member = s.member)) > 1
        )) > 0 AS is_twice
    FROM carrier AS e
    INNER JOIN properties AS p ON p.types IS NULL OR list_contains(p.types, e.event_type)
),

-- The digits of a number without the zeros that change nothing. A name in a gateway's line may hold bytes that are not
-- UTF-8: they are shown.
split AS (
    SELECT
        entry,
        kind,
        name,
        json_kind,
        is_twice,
        with_bytes(text) AS text,
        ltrim(ltrim(split_part(text, '.', 1), '-'), '0') AS whole,
        rtrim(split_part(text, '.', 2), '0') AS fraction
    FROM found
    WHERE json_kind IS NOT NULL AND json_kind != 'NULL'
),

judged AS (
    SELECT
        *,
        CASE
            WHEN is_twice THEN 'DUPLICATE_KEY'
            WHEN json_kind IN ('OBJECT', 'ARRAY') THEN 'WRONG_TYPE'
            WHEN kind = 'attribute' THEN CASE WHEN length(text) > 1000 THEN 'TOO_LARGE' END
            WHEN json_kind = 'BOOLEAN' OR NOT regexp_full_match(text, '-?[0-9]+(\.[0-9]+)?') THEN 'WRONG_TYPE'
            WHEN starts_with(text, '-') AND regexp_matches(text, '[1-9]') THEN 'NEGATIVE'
            WHEN length(fraction) > 12 OR length(ltrim(whole || fraction, '0')) > 38 THEN 'NUMBER_RANGE'
            -- Other software writes numbers with more digits as the nearest double.
            WHEN json_kind != 'VARCHAR' AND length(ltrim(whole || fraction, '0')) > 15 THEN 'NUMBER_RANGE'
        END AS problem,
        CASE kind
            WHEN 'quantity' THEN coalesce(nullif(whole, ''), '0') || CASE WHEN fraction = '' THEN '' ELSE '.' || fraction END
            ELSE text
        END AS value
    FROM split
),

-- A property that two meters declare is one.
once AS (
    SELECT DISTINCT ON (entry, kind, name) *
    FROM judged
    ORDER BY entry, kind, name, problem, value
)

SELECT
    entry,
    '{' || string_agg(to_json(name) || ':' || to_json(value), ',' ORDER BY name) FILTER (WHERE kind = 'quantity') || '}' AS quantities,
    '{' || string_agg(to_json(name) || ':' || to_json(value), ',' ORDER BY name) FILTER (WHERE kind = 'attribute') || '}' AS attributes,
    min(problem) AS reason,
    arg_min(kind || ' ' || name || ' is ' || regexp_replace(left(text, 60), '[\x00-\x1f\x7f]', '?', 'g'), (problem, kind, name)) FILTER (WHERE problem IS NOT NULL)
    || CASE min(problem)
        WHEN 'DUPLICATE_KEY' THEN ', and a name on its path occurs twice: write each member once'
        WHEN 'WRONG_TYPE' THEN ': write a number in digits, or a text of one. An attribute is a text, number or boolean'
        WHEN 'NEGATIVE' THEN ': a quantity is not negative'
        WHEN 'TOO_LARGE' THEN ': an attribute has at most 1000 characters'
        WHEN 'NUMBER_RANGE' THEN ': at most 38 digits, 12 of them after the point, and as a JSON number at most 15. Send more digits as a text'
    END AS detail
FROM once
GROUP BY entry
