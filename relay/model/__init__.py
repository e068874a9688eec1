"""The executable form of PROTOCOL.md: cells, layers, slots, hops, splices and a box's own circuits, written to be read. Start at node.py.

Sans-IO: octets, `now_us` and random octets in; octets, events and the next deadline out. The engine's core (relay/core) must equal it: the same octets, events, order of
random draws and counted drops. It also makes the test vectors and carries simulations of whole networks in virtual time.
NOT here: DTLS, sockets, handshakes (keys are given), the channel and sound inside end-to-end cells (PROTOCOL.md §9.2, §9.4).
"""
