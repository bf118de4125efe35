"""What an agent does in the conversation that they have."""
