"""The built-in softphone, for the demo and for those who have no other: a process of its own without any key of the box."""
