"""Virtual addresses lead to contacts: a helper that holds the rules, and what the box does with what they bring."""
