"""Two bills of one period, compared line by line, and the forecast of a running month. Writes nothing."""
