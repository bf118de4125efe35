"""The routes by which people of the company act: they approve what is proposed, and correct what the brain did."""
