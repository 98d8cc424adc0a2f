"""Decision: probabilities in, events out; a pure state machine in stream time."""

from streamrnn.decision.config import ClassRule, DecisionConfig
from streamrnn.decision.machine import DecisionMachine

__all__ = ["ClassRule", "DecisionConfig", "DecisionMachine"]
