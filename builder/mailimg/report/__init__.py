"""Where size and time of images went: figures, drawings, a page."""
