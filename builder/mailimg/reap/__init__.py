"""What servers that are gone have left behind: found by the instance's UUID, shown, and only then removed."""
