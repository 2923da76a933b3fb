"""Servers that a node meets at its site, played by real daemons: domain, directory, DNS, files, mail hosts.

They know nothing of who asks for them: a verification of one node, or a lab of the whole platform.
"""
