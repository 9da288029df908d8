"""The only door to d3rlpy: its networks, losses and update rules; our data, scaling, files and checks.

d3rlpy is imported on first use (``library``). What we put in place of its parts gives the same numbers faster,
makes a broken update refusable, or decides what acts:

- Adam works on one contiguous vector per optimiser (fused), and refuses a non-finite gradient before its step
  (``learning/flat_adam``); a later half of an update that is refused takes the earlier half back (``learner``);
- target networks carry no gradients and follow in one call, the critics' own weights carry none while the policy
  learns, activations work in place, what is asked twice is computed once (``shortcuts``);
- random numbers of an update come from the learner's own state, never from the global one (``draws``);
- the weight of the behaviour regularisation can be scaled while it learns (``parts``);
- what acts, and is exported, is a moving average of the policy's weights (``learning/averaged``).
"""

from offline_to_online.learning.algorithms._d3rlpy.conservative import ConservativeSettings, conservative_parts
from offline_to_online.learning.algorithms._d3rlpy.flat_adam import FlatAdamFactory
from offline_to_online.learning.algorithms._d3rlpy.learner import D3rlpyLearner
from offline_to_online.learning.algorithms._d3rlpy.library import d3rlpy, encoder
from offline_to_online.learning.algorithms._d3rlpy.making import learner_of
from offline_to_online.learning.algorithms._d3rlpy.parts import (
    Parts,
    check_settings,
    scaled_attributes,
    scaled_loss,
    value_settings,
)

__all__ = [
    "ConservativeSettings",
    "D3rlpyLearner",
    "FlatAdamFactory",
    "Parts",
    "check_settings",
    "conservative_parts",
    "d3rlpy",
    "encoder",
    "learner_of",
    "scaled_attributes",
    "scaled_loss",
    "value_settings",
]
