"""The in-machine test network: a namespace for each relay, box and phone, and one internet in the middle with a wire for each pair."""
