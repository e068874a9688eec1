"""Accounts on their way to phones: the forms that applications take, and the page that a phone fetches once."""
