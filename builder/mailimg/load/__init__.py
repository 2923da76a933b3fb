"""Mail at a stated rate through nodes that serve, counted message by message, and what it cost them.

`generator` sends numbered letters (`letters`), `ledger` compares what was taken with what arrived, `usage` and `hops`
ask the nodes, `figures` sums up, `stock` makes the configuration that a node is compared with.
"""
