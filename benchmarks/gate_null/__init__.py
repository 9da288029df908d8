"""Does the shipped gate let a sound policy work, stop a reckless one at once, and refuse one that slowly worsens?"""
