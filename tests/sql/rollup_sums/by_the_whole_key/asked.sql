SELECT events_partition, requests, request_bytes, response_bytes, latency_us FROM result ORDER BY ALL
