"""What the simulated ward costs, and the fit behind its patients."""
