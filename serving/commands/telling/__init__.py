"""What people are told of a command's result, where programs get one JSON object."""
