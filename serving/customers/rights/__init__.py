"""What customers have a right to at their own page: to come to it, to see, to say no, and to ask people."""
