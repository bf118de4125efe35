"""The two online stores of profiles, SQLite and Redis, behind one interface. SQLite is read without Feast."""
