"""What each way out of a record costs."""
