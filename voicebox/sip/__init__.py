"""SIP towards the phones: grammar, digest, transactions, dialogs, transports. Knows nothing of calls, contacts or circuits."""
