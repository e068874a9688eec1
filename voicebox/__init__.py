"""Private calls between softphones at home."""
