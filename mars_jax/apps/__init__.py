"""What the simulator is for: forecasts, and simulations that a config tells."""
