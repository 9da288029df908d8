"""What a policy is worth: the guard, rollouts, the saved panel, statistics, and the handoff that rests on them."""
