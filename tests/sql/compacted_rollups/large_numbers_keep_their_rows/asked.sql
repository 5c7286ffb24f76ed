SELECT requests, response_bytes FROM result ORDER BY ALL
