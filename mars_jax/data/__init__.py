"""Real orders: readers, replay through the matching engine, tokens, batches."""
