"""The fault harness itself: its checkers can fail, its faults do what they say, and a short run holds every law."""
