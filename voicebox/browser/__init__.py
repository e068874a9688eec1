"""The phone in a browser: its sound by WebRTC (aiortc) at one side, a SIP phone of the box at the other. Part of the page's process."""
