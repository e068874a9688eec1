"""Measuring a call: what RTP says about loss and jitter."""
