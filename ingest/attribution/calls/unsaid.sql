-- A format that shows neither action nor resource: where a policy asks for one, the answer is that it is not known.
-- in:  judged(entry, policy, client_ip, line)
-- out: entry, policy, client_ip, action, resource
SELECT entry, policy, client_ip, NULL::VARCHAR AS action, NULL::VARCHAR AS resource
FROM judged
