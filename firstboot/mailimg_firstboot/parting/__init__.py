"""The steps of leaving, one module each, under the law of `steps`: check, apply, undo, nothing but Host."""
