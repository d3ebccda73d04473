"""Delivery: from the decision to the page and the message."""
