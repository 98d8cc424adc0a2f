"""What goes wrong between board and host, drawn from seeds and counted.

`plan` says what and when, `parse` reads it from words, `hits` draws where, `schedule` keeps what
comes at times. `packets` and `damage` do it to packets and to bytes, `transit` is the way to the
reader, with its stalls and its limits; the rest is done by `firmware_sim.board.Board`.
"""

from firmware_sim.faults.damage import ByteFaults, ByteTruth
from firmware_sim.faults.packets import PacketFaults
from firmware_sim.faults.parse import checked_plan, fault_from_table, parse_faults
from firmware_sim.faults.plan import BYTE_KINDS, KINDS, PACKET_KINDS, Fault, FaultPlan

__all__ = [
    "BYTE_KINDS",
    "KINDS",
    "PACKET_KINDS",
    "ByteFaults",
    "ByteTruth",
    "Fault",
    "FaultPlan",
    "PacketFaults",
    "checked_plan",
    "fault_from_table",
    "parse_faults",
]
