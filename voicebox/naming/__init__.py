"""Names that programs look up: which virtual address a contact's name has, and the name server that says so."""
