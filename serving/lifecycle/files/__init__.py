"""The files of a workspace: what is wrong with them, and how they are made anew."""
