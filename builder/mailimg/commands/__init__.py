"""One module a command; each holds what the command line adds to the module that does the work."""
