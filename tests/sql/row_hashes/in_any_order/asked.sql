SELECT rows, hashes = (SELECT sum(hash(h)::HUGEINT) FROM hashed AS h) AS is_the_sum FROM result
