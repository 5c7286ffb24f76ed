-- Usage for analysis: the sums of metered.sql in the meter's unit, by the partner's local day and month. It is exact:
-- `per_unit` is a decimal, and a product that does not fit raises an error.
-- in:  metered (billing/sql/metered.sql over all partners and meters of the catalog); units(meter, unit, billable,
--      per_unit); partners(partner_id, name, time_zone, status); local_days(time_zone, day, day_start): of each zone,
--      without gaps from the first window to the last
-- out: partner_id, meter, unit, window_start, day, month (YYYY-MM), source, service, method, route, status, quantity
--      DECIMAL in `unit`
SELECT
    m.partner_id,
    m.meter,
    u.unit,
    m.window_start,
    d.day,
    strftime(d.day, '%Y-%m') AS month,
    m.source,
    m.service,
    m.method,
    m.route,
    m.status,
    m.quantity::DECIMAL(38, 0) * u.per_unit AS quantity
FROM metered AS m
INNER JOIN units AS u ON u.meter = m.meter
INNER JOIN partners AS p ON p.partner_id = m.partner_id
ASOF INNER JOIN local_days AS d ON d.time_zone = p.time_zone AND d.day_start <= m.window_start
