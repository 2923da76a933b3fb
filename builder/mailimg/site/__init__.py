"""The site document for who writes it: examples, the reference, the check. Its schema is the agent's."""
