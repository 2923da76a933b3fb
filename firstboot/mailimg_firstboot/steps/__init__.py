"""The steps of a run, one a file; their order stands in `engine.STEPS`.

Each has `check` (None, or the difference from the goal in words; changes nothing), `apply` (may be cut off anywhere and
run again) and `undo` (safe if nothing was applied). A step knows no other step and touches the machine only through the
host.
"""
