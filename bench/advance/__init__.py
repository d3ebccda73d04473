"""What one reading costs in the core."""
