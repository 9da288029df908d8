"""What is learned from logged and online episodes: replay, policies, learners."""
