"""What waits for a network: batches, texts in turns, work that several wait for."""
