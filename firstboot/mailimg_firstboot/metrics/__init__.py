"""What an operator asks of this node at night, as Prometheus text (docs/metrics.md).

Collectors run at the same time, each with its own look at the machine; one that fails or hangs costs its own figures
and nobody else's. Nothing here changes the machine, and no name of a person, address or secret is in what it says.
"""
