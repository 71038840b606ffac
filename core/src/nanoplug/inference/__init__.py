"""Generation: key/value cache, sampling, engine, incremental text."""
