-- The type, the quantities and the declared attributes of accepted entries, typed from the bytes of their lines.
-- in:  accepted(position, item); lines(position, line); properties(kind 'quantity' | 'attribute', name, path: JSON path within
--      the entry, without $, types: of events, NULL: any); typed, one row: is_event, whether entries are CloudEvents
-- out: position, item, event_type, quantities, attributes (canonical JSON of exact decimals as texts, and of texts; NULL:
--      none), reason, detail (NULL: nothing is wrong); in order
WITH entry AS (
    SELECT
        a.position,
        a.item,
        l.line,
        -- As written: DuckDB spells doubles otherwise.
        exact_numbers(l.line) AS exact,
        CASE WHEN starts_with(l.line, '[') THEN '$[' || a.item || ']' ELSE '$' END AS root
    FROM accepted AS a
    INNER JOIN lines AS l ON l.position = a.position
),

known AS (
    SELECT
        entry.*,
        CASE WHEN typed.is_event THEN json_extract_string(line, root || '.type') END AS event_type
    FROM entry
    CROSS JOIN typed
),

found AS (
    SELECT
        k.position,
        k.item,
        p.kind,
        p.name,
        json_type(k.line, k.root || p.path) AS json_kind,
        json_extract_string(k.exact, k.root || p.path) AS text
    FROM known AS k
    INNER JOIN properties AS p ON p.types IS NULL OR list_contains(p.types, k.event_type)
),

judged AS (
    SELECT
        position,
        item,
        kind,
        name,
        text,
        CASE
            WHEN json_kind IN ('OBJECT', 'ARRAY') THEN 'WRONG_TYPE'
            WHEN kind = 'attribute' THEN CASE WHEN length(text) > 1000 THEN 'TOO_LARGE' END
            WHEN json_kind = 'BOOLEAN' OR NOT regexp_full_match(text, '-?[0-9]+(\.[0-9]+)?') THEN 'WRONG_TYPE'
            WHEN starts_with(text, '-') AND regexp_matches(text, '[1-9]') THEN 'NEGATIVE'
            WHEN length(split_part(text, '.', 2)) > 12 OR length(ltrim(split_part(ltrim(text, '-'), '.', 1), '0')) > 26 THEN 'NUMBER_RANGE'
            -- Other software writes numbers with more digits as the nearest double.
            WHEN json_kind != 'VARCHAR' AND length(ltrim(replace(ltrim(text, '-'), '.', ''), '0')) > 15 THEN 'NUMBER_RANGE'
        END AS problem
    FROM found
    WHERE json_kind IS NOT NULL AND json_kind != 'NULL'
),

exact AS (
    SELECT
        *,
        CASE
            WHEN problem IS NULL AND kind = 'quantity'
                THEN regexp_replace(abs(text::DECIMAL(38, 12))::VARCHAR, '\.?0+$', '')
            ELSE text
        END AS value
    FROM judged
),

-- A property that two meters declare is one.
once AS (
    SELECT DISTINCT ON (position, item, kind, name) *
    FROM exact
    ORDER BY position, item, kind, name, problem, value
),

carried AS (
    SELECT
        position,
        item,
        '{' || string_agg(to_json(name) || ':' || to_json(value), ',' ORDER BY name) FILTER (WHERE kind = 'quantity') || '}' AS quantities,
        '{' || string_agg(to_json(name) || ':' || to_json(value), ',' ORDER BY name) FILTER (WHERE kind = 'attribute') || '}' AS attributes,
        min(problem) AS reason,
        arg_min(kind || ' ' || name || ' is ' || left(text, 60), problem) AS wrong
    FROM once
    GROUP BY position, item
)

SELECT
    k.position,
    k.item,
    k.event_type,
    CASE WHEN c.reason IS NULL THEN c.quantities END AS quantities,
    CASE WHEN c.reason IS NULL THEN c.attributes END AS attributes,
    c.reason,
    c.wrong || CASE c.reason
        WHEN 'WRONG_TYPE' THEN ': write a number in digits, or a text of one. An attribute is a text, number or boolean'
        WHEN 'NEGATIVE' THEN ': a quantity is not negative'
        WHEN 'TOO_LARGE' THEN ': an attribute has at most 1000 characters'
        WHEN 'NUMBER_RANGE' THEN ': at most 26 digits before the point and 12 after it, and as a JSON number at most 15. Send more digits as a text'
    END AS detail
FROM known AS k
LEFT JOIN carried AS c ON c.position = k.position AND c.item = k.item
ORDER BY k.position, k.item
