"""The cloud's side of mailimg: images in Glance, and what servers make of them."""
