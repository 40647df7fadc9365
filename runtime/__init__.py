"""The runtime: nouns, ports, the loop, the journal, credit, the gate and the executors.

Start reading at `loop`: think, freeze, draw, audit, reward, gate, execute, thaw.
"""
