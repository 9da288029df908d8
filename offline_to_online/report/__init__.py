"""What people look at: the offline page, the page of an online run, and the summary on the terminal."""
