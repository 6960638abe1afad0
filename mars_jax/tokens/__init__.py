"""Orders as tokens: bins, the alphabet, and the features of one token."""
