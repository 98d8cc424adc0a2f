"""Decision: probabilities in, events out; a pure state machine in stream time."""

from streamrnn.decision.machine import DecisionConfig, DecisionMachine

__all__ = ["DecisionConfig", "DecisionMachine"]
