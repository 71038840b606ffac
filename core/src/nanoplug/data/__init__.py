"""Training and validation data: shards of documents, packed into rows of tokens."""
