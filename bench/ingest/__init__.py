"""How fast readings become durable, beside other subscribers of the same broker."""
