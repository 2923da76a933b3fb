"""Turn a role of a mail platform into an image that a private cloud can boot."""
