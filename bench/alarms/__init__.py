"""What the filters cut and what they miss (ALARMS §3.6)."""
