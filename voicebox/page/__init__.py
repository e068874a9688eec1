"""The page of a box: a small site for whoever lives with it. A process of its own that asks the box on its control socket."""
