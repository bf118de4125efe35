"""Pages for people: HTML that the server writes, which works without scripts."""
