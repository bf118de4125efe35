"""The routes of what people do: handovers, agents and their work."""
