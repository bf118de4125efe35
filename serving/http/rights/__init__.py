"""Routes by which a company serves what customers have a right to at their own page."""
