"""The customer's own page: what is held, why they saw what they saw, and how they say no."""
