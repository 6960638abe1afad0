"""Orders as tokens: alphabet, bins, features, images."""
