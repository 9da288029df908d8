"""The only door to d3rlpy: its networks, losses and update rules; our data, scaling, files and checks.

d3rlpy is imported on first use (``library``). What we put in place of its parts gives the same numbers faster,
makes a broken update refusable, or decides what acts:

- Adam works on one contiguous vector per optimiser (fused), and refuses a non-finite gradient before its step
  (``learning/flat_adam``);
- target networks carry no gradients, activations work in place, and the target values that IQL's two losses
  both ask for are computed once (``learner``);
- what acts, and is exported, is a moving average of the policy's weights (``learning/averaged``).
"""

from offline_to_online.learning.algorithms._d3rlpy.flat_adam import FlatAdamFactory
from offline_to_online.learning.algorithms._d3rlpy.learner import D3rlpyLearner, Parts
from offline_to_online.learning.algorithms._d3rlpy.library import d3rlpy, encoder

__all__ = ["D3rlpyLearner", "FlatAdamFactory", "Parts", "d3rlpy", "encoder"]
