"""The lead's view: what needs somebody now, who waits for whom, and what people did otherwise."""
