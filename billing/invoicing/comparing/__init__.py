"""Two bills of one period, compared line by line, and what the next bills will hold. Writes nothing."""
