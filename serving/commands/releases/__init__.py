"""Commands about releases: what a change does, who approves it, and where it goes next."""
