SELECT event_id, partner_id, events_partition, landed_in FROM result
