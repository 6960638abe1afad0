"""Real orders: readers, replay through the clearing house, tokens, batches."""
