"""What customers of a period met with: help, silence and annoyance, effort, and what rose within the hour."""
