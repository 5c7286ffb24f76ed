-- Formats that log neither action nor resource: both are unknown to policies.
-- in:  judged(entry, policy, client_ip, line)
-- out: entry, policy, client_ip, action, resource
SELECT entry, policy, client_ip, NULL::VARCHAR AS action, NULL::VARCHAR AS resource
FROM judged
