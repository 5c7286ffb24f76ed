-- Calls outside the policy of their credential. A call is inside if one grant allows its action, resource and network;
-- else the mark shows how far the best grant matches. An unknown value is never allowed.
-- in:  calls(entry, policy, client_ip, action, resource); addresses(client_ip, key); policies(policy, bound: the
--      credential has networks of its own, granted: it has grants); grants(policy, grant_no, any_action, any_resource,
--      any_network); networks(policy, grant_no, -1: of the credential itself, first_key, last_key); actions,
--      resources(policy, grant_no, pattern of LIKE)
-- out: entry, outside: ACTION (no grant has the action), RESOURCE (none has it for this resource), NETWORK (none from
--      this network, or outside the credential's own networks), UNKNOWN (address, action or resource is unknown, and
--      the rest is allowed)
WITH called AS MATERIALIZED (
    SELECT entry, policy, client_ip, action, resource
    FROM calls
),

located AS MATERIALIZED (
    SELECT client_ip, key
    FROM addresses
),

from_network AS (
    SELECT DISTINCT n.policy, a.client_ip, n.grant_no
    FROM located AS a
    INNER JOIN networks AS n ON a.key >= n.first_key AND a.key <= n.last_key
),

does AS (
    SELECT DISTINCT c.policy, c.action, p.grant_no
    FROM (SELECT DISTINCT policy, action FROM called WHERE action IS NOT NULL) AS c
    INNER JOIN actions AS p ON p.policy = c.policy AND lower(c.action) LIKE p.pattern ESCAPE '\'
),

on_resource AS (
    SELECT DISTINCT c.policy, c.resource, p.grant_no
    FROM (SELECT DISTINCT policy, resource FROM called WHERE resource IS NOT NULL) AS c
    INNER JOIN resources AS p ON p.policy = c.policy AND c.resource LIKE p.pattern ESCAPE '\'
),

-- One row per call and grant: TRUE, FALSE, or NULL if unknown.
compared AS (
    SELECT
        c.entry,
        g.any_action OR CASE WHEN c.action IS NOT NULL THEN does.grant_no IS NOT NULL END AS action_fits,
        g.any_resource OR CASE WHEN c.resource IS NOT NULL THEN on_resource.grant_no IS NOT NULL END AS resource_fits,
        g.any_network OR CASE WHEN located.key IS NOT NULL THEN from_network.grant_no IS NOT NULL END AS network_fits
    FROM called AS c
    INNER JOIN grants AS g ON g.policy = c.policy
    LEFT JOIN does ON does.policy = c.policy AND does.action = c.action AND does.grant_no = g.grant_no
    LEFT JOIN on_resource ON on_resource.policy = c.policy AND on_resource.resource = c.resource AND on_resource.grant_no = g.grant_no
    LEFT JOIN located ON located.client_ip = c.client_ip
    LEFT JOIN from_network
        ON from_network.policy = c.policy AND from_network.client_ip = c.client_ip AND from_network.grant_no = g.grant_no
),

granted AS (
    SELECT
        entry,
        max(CASE
            WHEN NOT action_fits THEN 0
            WHEN NOT resource_fits THEN 1
            WHEN NOT network_fits THEN 2
            WHEN action_fits AND resource_fits AND network_fits THEN 4
            ELSE 3
        END) AS grade
    FROM compared
    GROUP BY entry
),

graded AS (
    SELECT
        c.entry,
        least(
            CASE WHEN p.granted THEN granted.grade ELSE 4 END,
            CASE
                WHEN NOT p.bound OR from_network.grant_no IS NOT NULL THEN 4
                WHEN located.key IS NULL THEN 3
                ELSE 2
            END
        ) AS grade
    FROM called AS c
    INNER JOIN policies AS p ON p.policy = c.policy
    LEFT JOIN granted ON granted.entry = c.entry
    LEFT JOIN located ON located.client_ip = c.client_ip
    LEFT JOIN from_network
        ON from_network.policy = c.policy AND from_network.client_ip = c.client_ip AND from_network.grant_no = -1
)

SELECT
    entry,
    CASE grade WHEN 0 THEN 'ACTION' WHEN 1 THEN 'RESOURCE' WHEN 2 THEN 'NETWORK' ELSE 'UNKNOWN' END AS outside
FROM graded
WHERE grade < 4
