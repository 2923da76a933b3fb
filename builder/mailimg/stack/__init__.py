"""The whole platform as one stack of Heat: what it is (`platform`), its text (`render`), and its life in a cloud."""
