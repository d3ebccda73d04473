"""The alarm core: pure decisions about one bed.

Law: nothing in this package reads a clock, a file, a socket or a random number, and nothing in it
imports from outside the standard library or this package. Everything it needs arrives as an argument,
``now`` included, so the same function runs live, in replay, in a drill and in the simulator.
"""
