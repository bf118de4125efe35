"""Words of conversations that a person helps with: kept apart from signals, and only while they are needed."""
