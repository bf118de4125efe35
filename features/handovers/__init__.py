"""Handovers to people: those that decisions open, and what each holds of slots and of the time of agents."""
