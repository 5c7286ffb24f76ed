-- The lines of all issued invoices, from their documents.
-- in:  invoices
-- out: number, partner_id, period, currency, position, description, meter, unit, line_start, line_end (TIMESTAMPTZ,
--      [start, end)), quantity (used) and billed_quantity (less free units) to 18 decimals, amount (rounded once, as
--      billed)
WITH lines AS (
    SELECT
        number,
        partner_id,
        period,
        currency,
        unnest(from_json(json_extract(document, '$.lines'), '[{
            "position": "INTEGER", "description": "VARCHAR", "meter": "VARCHAR", "unit": "VARCHAR", "from": "VARCHAR", "to": "VARCHAR",
            "quantity": "VARCHAR", "billed_quantity": "VARCHAR", "amount": "VARCHAR"
        }]')) AS line
    FROM invoices
)

SELECT
    number,
    partner_id,
    period,
    currency,
    line.position,
    line.description,
    line.meter,
    line.unit,
    line['from']::TIMESTAMPTZ AS line_start,
    line['to']::TIMESTAMPTZ AS line_end,
    line.quantity::DECIMAL(38, 18) AS quantity,
    line.billed_quantity::DECIMAL(38, 18) AS billed_quantity,
    line.amount::DECIMAL(38, 4) AS amount
FROM lines
