"""Who may let what serve: the one door that releases, models and paused actions pass, and what is seen there."""
