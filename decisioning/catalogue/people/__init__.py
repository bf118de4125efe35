"""What the catalogue says of the people who help customers."""
