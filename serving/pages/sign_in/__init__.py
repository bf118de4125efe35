"""The page on which a person signs in, and out."""
