"""Streams between programs here and services of contacts, and the other way."""
