"""What the simulator is for: forecasts."""
