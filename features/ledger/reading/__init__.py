"""Read standings: as they are now, and as they were at earlier versions."""
