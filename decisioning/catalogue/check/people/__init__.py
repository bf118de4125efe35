"""Checks of what the company says about its people: calendars."""
