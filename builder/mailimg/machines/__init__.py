"""Nodes: guests and containers of what was built, their place in a network, what they are given, how they are asked."""
