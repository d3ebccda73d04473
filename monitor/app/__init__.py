"""The loop and the wiring: one site, whole.

Law: here alone the rooms meet. Everything that happens to a bed happens in one thread, in one order.
"""
