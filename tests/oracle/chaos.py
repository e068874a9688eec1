"""A small network in which everything goes wrong, from a seed: what the comparison of model and core is fed.

Two boxes with three and two access links, four guards, a relay in the middle, two junctions. Wires lose, delay, reorder, repeat, replay and flip; cells
of noise, and well-enciphered speech that breaks every rule, are slipped in; control planes are slow, wrong, or forget; circuits are closed and made anew; links go down.
Boxes knock, join, part and speak with tokens, ids, tickets and keys from small pools, so that they often fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from relay.model.cell import PAYLOAD_OCTETS, Kind, Speech, fragments, parse_cell, serialise_speech
from relay.model.end_to_end import NO_TWEAK, Sound, serialise_sound
from relay.model.hop import tweak
from relay.model.node import LinkKind, Node
from relay.model.owner import OwnCircuit
from relay.model.slots import SLOT_US, STEPS_US
from tests.sim.network import CONTROL_US, Event, Network, Wire, keys_of, relay_id

TOKENS = [bytes([i]) * 16 for i in range(1, 5)]
JOIN_IDS = [bytes([i]) * 16 for i in range(16, 22)]
KEYS = [bytes([i]) * 16 for i in range(32, 35)]
BOXES = ("box_a", "box_b")
GUARDS = ("guard1", "guard2", "guard3", "guard4")
TWO_EACH = (("box_a", "guard1"), ("box_a", "guard2"), ("box_b", "guard3"), ("box_b", "guard4"))
JUNCTIONS = ("junction1", "junction2")
STUCK_US = 12_000_000  # a circuit that is not ready by then is made anew


@dataclass
class Life:
    """A box's access link: its present circuit, the keys agreed so far, what is to be said next."""

    box: str
    link: int
    guard: str
    number: int = 0
    path: list[str] = field(default_factory=list)
    keys: list[tuple[bytes, bytes]] = field(default_factory=list)
    handshake: bytes = b""
    settled: int = 0
    ready: bool = False
    token: bytes = TOKENS[0]
    began_us: int = 0
    asleep_until_us: int = 0

    @property
    def last_hop(self) -> int:
        """Return the number of the farthest hop; 0 also where there is none (any more), so that what is said to it fits nothing."""
        return max(0, len(self.keys) - 1)


class Chaos(Network):
    """The network and all that is done to it. Run it with run(seconds)."""

    def __init__(self, seed: int, make_node: Callable[..., Node]) -> None:
        super().__init__(seed, make_node)
        self.rate = self.chance.choice((0.001, 0.005, 0.02))  # how many cells something happens to
        self.metered = {0: (), 1: BOXES[:1], 2: (), 3: BOXES}[seed % 4]
        for name in (*BOXES, *GUARDS, "middle", *JUNCTIONS):
            self.add(name, metered=name in self.metered)
        self.tickets: dict[bytes, bytes] = {}  # the latest of each join id, whoever got it
        self.lives = [self._access(box, guard) for box, guard in (*TWO_EACH, ("box_a", "guard3"))]
        for guard in GUARDS:
            for relay in ("middle", *JUNCTIONS):
                self.connect(guard, relay, access=False)
        for junction in JUNCTIONS:
            self.connect("middle", junction, access=False)
        for place in self.wires:
            self._spoil(place)

    def _spoil(self, place: tuple[str, int]) -> None:
        """Draw what a wire does to cells."""
        wire = self.wires[place]
        wire.jitter_us = self.chance.choice((0, 1_000, 3_900, 3_900, 3_900, 8_000))
        wire.latency_us = self.chance.choice((200, 19_000, 45_000))
        wire.tamper = self._tampering(place)

    def _access(self, box: str, guard: str) -> Life:
        return Life(box, self.connect(box, guard, access=True)[0], guard)

    def three_seconds(self) -> None:
        """Let three seconds pass in which every access link acts now and then, and nodes get commands that make no sense."""
        for life in self.lives:
            stuck = not life.ready and self.now_us - life.began_us > STUCK_US
            if stuck or self.chance.random() < 0.03:
                self._anew(life)
        for _ in range(12):
            for life in self.lives:
                self._act(life)
            if self.chance.random() < 0.3:
                self._nonsense()
            self.run(0.25)
        if self.chance.random() < 0.06:
            guard = self.chance.choice(self.lives)
            self._flood(self.chance.choice([self.wires[guard.box, guard.link].to, *[place for place in self.wires if place[0] == guard.guard]]))
        if self.chance.random() < 0.2:
            life = self.chance.choice([each for each in self.lives if not each.ready] or self.lives)
            young = [] if life.ready else [self.wires[life.path[0], self.relay_links[life.path[0], relay_id(life.guard)]]] * 40
            self._stall(self.chance.choice([*young, *self.wires.values()]))
        if self.chance.random() < 0.2:
            self._move(self.chance.choice([each for each in self.lives if each.ready] or self.lives))
        if self.chance.random() < 0.02:
            self._replace_link(self.chance.choice(list(self.wires)))

    # ---------------------------------------------------------------------------------------------------------------- boxes

    def _say_to(self, life: Life, name: str, *arguments: object) -> None:
        self.command(life.box, name, life.link, life.number, *arguments)

    def _number(self, life: Life) -> int:
        """Draw a circuit number, that says what the box is, or seldom the contrary."""
        metered = (life.box in self.metered) != (self.chance.random() < 0.02)
        return self.chance.getrandbits(30) | 1 | metered << 31

    def _anew(self, life: Life) -> None:
        """Close and open again under another number, a little sooner than the relays expect."""
        if life.number:
            self._say_to(life, "close")
        middle = ["middle"] if self.chance.random() < 0.3 else []
        life.number, life.path, life.keys, life.settled = self._number(life), [*middle, self.chance.choice(("junction1", *JUNCTIONS))], [], 0
        life.ready, life.began_us, life.token = False, self.now_us, self.chance.choice(TOKENS)
        life.handshake = self.chance.randbytes(1220)
        self._say_to(life, "open", life.handshake)

    def _move(self, life: Life) -> None:
        """Take a circuit to another link to its guard, seldom to another guard's; the former link goes, at the guard later or never."""
        guard = life.guard if self.chance.random() < 0.9 else self.chance.choice(GUARDS)
        links = self.connect(life.box, guard, access=True)
        for place in ((life.box, links[0]), (guard, links[1])):
            self._spoil(place)
        self.run(0.1 if self.chance.random() < 0.9 else 0.0)
        former, far = life.link, self.wires[life.box, life.link].to
        self._say_to(life, "attach_circuit", links[0] if self.chance.random() < 0.95 else self.chance.randrange(40))
        life.link, life.guard, life.ready, life.began_us = links[0], guard, False, self.now_us
        self.at(self.now_us + 300_000, life.box, ("link_down", former))
        if self.chance.random() < 0.8:
            self.at(self.now_us + self.chance.choice((100, 2_000_000)), far[0], ("link_down", far[1]))
        self.run(0.5)
        if self.chance.random() < 0.1:
            self._move(life)

    def _follow(self, life: Life, event: Event) -> None:
        """Build on, step by step, on what a hop answered."""
        match event:
            case ("created", *_) | ("answer", _, _, _, Kind.EXTENDED, _):
                life.keys.append(keys_of(life.handshake)[:2])
                self._say_to(life, "add_hop", *life.keys[-1])
                if len(life.keys) <= len(life.path):
                    life.handshake = self.chance.randbytes(1220)
                    next_number = self._number(life) if self.chance.random() < 0.97 else 0
                    payload = relay_id(life.path[life.last_hop]) + next_number.to_bytes(4, "big") + life.handshake
                    self._say_to(life, "say", life.last_hop, int(Kind.EXTEND), payload, 1, 0)
                else:
                    self._say_to(life, "say", life.last_hop, int(Kind.PHASE), b"", 1, 0)
            case ("answer", _, _, _, Kind.PHASED, bytes(payload)):
                self.command(life.box, "shift", life.link, (int.from_bytes(payload[:2], "big") * 10 - 11_000) % SLOT_US)
                self._settle(life)
            case ("answer", _, _, _, Kind.SETTLED, _):
                life.settled += 1
                if life.settled < len(life.keys):
                    self._settle(life)
                else:
                    self._say_to(life, "settle_own", self.chance.choice(STEPS_US))
                    self._say_to(life, "say", life.last_hop, int(Kind.TOKENS), life.token + self.chance.randbytes(127 * 16), 1, 0)
            case ("answer", _, _, _, Kind.LEFT | Kind.ATTACHED, _):
                life.ready = True
            case ("answer", _, _, _, Kind.KNOCKED, bytes(payload)):
                self.tickets[payload[16:32]] = payload[216:]
                drawn = self.chance.random()  # now and then whoever knocked does too, or instead
                joins = self.lives if drawn < 0.2 else [life] if drawn < 0.9 else [each for each in self.lives if each is not life]
                for each in joins:
                    self._say_to(each, "say", each.last_hop, int(Kind.JOIN), payload[16:32] + payload[216:], 2, 0)
                self._say_to(life, "speak", self.chance.choice(KEYS), KEYS[: self.chance.randrange(4)])
            case ("heard" | "silent", *_):
                self._say_to(life, "hush")
            case ("ended" | "refused", *_):
                life.keys = []
            case _:
                return

    def _settle(self, life: Life) -> None:
        first = self.now_us // SLOT_US + self.chance.randrange(30)
        self._say_to(life, "say", min(life.settled, life.last_hop), int(Kind.SETTLE), (first % 2**32).to_bytes(4, "big"), 1, 0)

    def _act(self, life: Life) -> None:
        """Do what a box does in a call, in no sensible order."""
        chance, junction = self.chance, life.last_hop
        if life.keys and not life.ready and chance.random() < 0.01:
            self._say_to(life, "say", junction, int(Kind.KNOCK), TOKENS[0] + JOIN_IDS[0] + bytes(184), 1, 3)
        if not life.ready or self.now_us < life.asleep_until_us or chance.random() < 0.6:
            return
        if chance.random() < 0.02:
            life.asleep_until_us = self.now_us + 13_000_000
        reached = [other.token for other in self.lives if other is not life and other.ready and other.path[-1] == life.path[-1]]
        token, join_id, every = chance.choice([*reached, *reached, *TOKENS[:1]]), chance.choice(JOIN_IDS), chance.randrange(1, 4)
        match chance.randrange(9):
            case 0 | 1 | 2:
                self._say_to(life, "say", junction, int(Kind.KNOCK), token + join_id + bytes(184), every, chance.randrange(60))
                self._say_to(life, "speak", chance.choice([None, *KEYS]), KEYS)
            case 3 if chance.random() < 0.5:
                self._say_to(life, "say", junction, int(Kind.JOIN), join_id + self.tickets.get(join_id, bytes(8)), every, chance.randrange(9))
            case 4 if chance.random() < 0.3:
                self._say_to(life, "say", junction, int(Kind.PART), join_id, every, 8)
            case 4 if chance.random() < 0.5:
                self._say_to(life, "say", junction, int(Kind.ASK), chance.randbytes(PAYLOAD_OCTETS[Kind.ASK]), every, 0)
            case 5:
                self._say_to(life, "speak", chance.choice([None, *KEYS]), [chance.choice(KEYS)])
                others = [each for each in self.lives if each.box == life.box and each is not life]
                for other in chance.sample(others, chance.randrange(1, len(others) + 1)):
                    if chance.random() < 0.8:  # begin to count anew
                        self._say_to(other, "quiet")
                        self._say_to(other, "speak", chance.choice(KEYS), KEYS)
                    named = chance.choice((*[(other.link, other.number)] * 6, (life.link, life.number), (other.link, 1)))
                    self._say_to(life, "couple", *named)
            case 6:
                self._say_to(life, chance.choice(("quiet", "hush", "settle_own")))
            case 7 if chance.random() < 0.5:
                self._say_to(life, "say", chance.randrange(3), chance.choice((Kind.PHASE, 19, 20, chance.randrange(256))) + 0, b"", 1, 5)
            case 8:
                self._say_to(life, "say", junction, int(Kind.TOKENS), life.token + chance.randbytes(chance.choice((2032, 2032, 2032, 2032, 2031))), 1, 0)
            case _:
                self._say_to(life, "say", junction, int(Kind.KNOCK), token + JOIN_IDS[0] + bytes(184), 2, 0)

    # --------------------------------------------------------------------------------------------------------------- relays

    def _react(self, name: str, event: Event) -> None:
        """Answer as the control planes do, sometimes late, wrong, twice or never."""
        chance = self.chance
        if chance.random() < 0.004:
            return
        match event:
            case ("create", int(link), int(circuit), bytes(handshake)):
                forward, backward, created = keys_of(handshake)
                if chance.random() < 0.08:
                    self._later(name, "refuse", link, circuit, chance.randrange(256))
                if chance.random() < 0.97:
                    self._later(
                        name,
                        "accept",
                        link,
                        circuit,
                        forward,
                        backward,
                        created,
                        name in JUNCTIONS,
                        *chance.choices((*STEPS_US, 7_000), (9, 3, 3, 3, 3, 3, 1), k=2),
                    )
            case ("extend", int(link), int(circuit), bytes(relay), int(next_circuit), bytes(handshake)):
                next_link = self.relay_links.get((name, relay), 999)
                if chance.random() < 0.03:
                    self._later(name, "refuse_extend", link, circuit, chance.randrange(256))
                else:
                    self._later(name, "extend", link, circuit, next_link if chance.random() < 0.97 else chance.randrange(40), next_circuit, handshake)
            case ("ask", int(link), int(circuit), int(number), bytes(question)):
                number += chance.random() < 0.03
                self._later(name, "answer_ask", link, circuit, number, question if chance.random() < 0.97 else question[1:])
            case ("circuit_ended", *_):
                return
            case (_, int(link), int(circuit), *_):
                life = next((life for life in self.lives if (life.box, life.link) == (name, link)), None)
                if life is not None and life.number == circuit:  # else of a link that it has left
                    self._follow(life, event)
            case _:
                raise AssertionError(event)

    def _later(self, name: str, *command: object) -> None:
        self.at(self.now_us + self.chance.choice((500, CONTROL_US, 30_000)), name, ("command", *command))

    def _nonsense(self) -> None:
        """Give a node a command with arguments of the right types that mostly fit nothing."""
        chance, life = self.chance, self.chance.choice(self.lives)
        self.at(self.now_us, life.guard, ("cell", chance.randrange(900), chance.randbytes(256)))
        name = chance.choice(list(self.nodes))
        link = chance.choice([0, life.link, *[link for node, link in self.wires if node == name]])
        circuit = chance.choice((0, 1, life.number, chance.getrandbits(32)))
        key, handshake = chance.randbytes(16), chance.randbytes(1220)
        if chance.random() < 0.3:
            name = life.box
        self.command(
            name,
            *chance.choice([
                ("accept", link, circuit, key, key, bytes(PAYLOAD_OCTETS[Kind.CREATED]), True), ("refuse", link, circuit, 3), ("extend", link, circuit, link, circuit, handshake),
                ("refuse_extend", link, circuit, 4), ("answer_ask", link, circuit, chance.randrange(40), bytes(PAYLOAD_OCTETS[Kind.ANSWERED])), ("open", link, circuit, handshake), ("add_hop", link, circuit, key, key),
                ("say", link, circuit, chance.randrange(5), chance.randrange(256), chance.randbytes(chance.randrange(3_584)), chance.randrange(1, 9), 3),
                ("hush", link, circuit), ("shift", link, chance.randrange(40_001)), ("settle_own", link, circuit, chance.choice((5_000, 6_000))), ("speak", link, circuit, key, [key]),
                ("quiet", link, circuit), ("speak", link, circuit, None, [key] * 9), ("couple", link, circuit, life.link, life.number),
            ]),
        )  # fmt: skip

    def _flood(self, place: tuple[str, int]) -> None:
        """Begin more creates on a link than a relay collects, and finish some."""
        chance = self.chance
        for _ in range(chance.choice((12, 40, 40))):
            number = chance.randbytes(4)
            for body in fragments(Kind.CREATE, 1, chance.randbytes(1_200))[: chance.choice((1, 1, 1, 1, 1, 1, 2, 2, 2, 6))]:
                self.at(
                    self.now_us + chance.randrange(100_000), place[0], ("cell", place[1], number + (self.now_us // SLOT_US % 2**32).to_bytes(4, "big") + body)
                )

    def _stall(self, wire: Wire) -> None:
        """Hold a wire back for a while; what was held comes together with what follows."""
        wire.latency_us += 300_000
        self.run(0.5)
        wire.latency_us -= 300_000

    def _replace_link(self, place: tuple[str, int]) -> None:
        """Take a link down at both ends, and up again."""
        for name, link in (place, self.wires[place].to):
            kind = self.nodes[name].links[link].kind if link in self.nodes[name].links else LinkKind.RELAY
            self.at(self.now_us, name, ("link_down", link))
            self.at(self.now_us + 400_000, name, ("link_up", link, int(kind)))
        self.run(0.5)

    # ---------------------------------------------------------------------------------------------------------------- wires

    def _tampering(self, place: tuple[str, int]) -> Callable[[int, bytes], list[tuple[int, bytes]]]:
        """Return what happens to the cells of one wire: mostly nothing."""
        kept: list[bytes] = []
        chance = self.chance

        def tamper(_at_us: int, octets: bytes) -> list[tuple[int, bytes]]:
            del kept[:-8]
            kept.append(octets)
            if octets[8:24] == bytes(16) and chance.random() < 0.1:  # somebody meddles while a circuit is made
                return [(0, chance.choice((octets[:8] + chance.randbytes(248), self._clear_speech(octets)))), (0, octets)][: chance.randrange(1, 3)]
            if self.wires[place].to[0] in BOXES and chance.random() < 0.03:
                return [(0, octets), (chance.randrange(3_000), self._enciphered(place, octets))]
            if chance.random() >= self.rate:
                return [(0, octets)]
            match chance.randrange(9):
                case 0 | 1:
                    return []
                case 2:
                    return [(0, octets), (chance.randrange(40_000), octets)]
                case 3:
                    return [(0, octets), (0, kept[0])]
                case 4:
                    return [(chance.randrange(150_000), octets)]
                case 5:
                    place_ = chance.randrange(256)
                    return [(0, octets[:place_] + bytes([octets[place_] ^ 1 << chance.randrange(8)]) + octets[place_ + 1 :])]
                case 6:
                    return [(0, octets), (0, octets[:4] + chance.randbytes(252)), (0, chance.randbytes(256))]
                case 7:
                    return [(0, octets), (0, self._clear_speech(octets))]
                case 8 if chance.random() < 0.15:
                    return [(0, octets), (chance.randrange(3_000), self._enciphered(place, octets))]
                case _:
                    return [(0, octets)]

        return tamper

    def _clear_speech(self, octets: bytes) -> bytes:
        """Return speech outside layers, on a number in use or another."""
        chance = self.chance
        number = octets[:4] if chance.random() < 0.5 else chance.randbytes(4)
        kind = chance.choice((Kind.CREATE, Kind.CREATED, Kind.REFUSED, Kind.EXTENDED))
        return (
            number + octets[4:8] + chance.choice((self._speech(), chance.choice(fragments(kind, 1, chance.randbytes(chance.choice((1, 900, 1_184, 1_220)))))))
        )

    def _speech(self) -> bytes:
        """Return a fragment of any message, mostly well formed."""
        chance = self.chance
        count = chance.choice((1, 1, 1, 2, 6, 16))
        index = chance.randrange(count)
        length = 224 if index + 1 < count else chance.choice((0, 4, 16, 216, 224))
        kind = chance.choice((*Kind, *Kind, chance.randrange(256)))
        body = bytearray(serialise_speech(Speech(kind, index, count, chance.choice((1, 2, 3, chance.randrange(40), 2**16 - 1)), chance.randbytes(length))))
        if chance.random() < 0.2:
            body[chance.randrange(16, 248)] ^= 1 << chance.randrange(8)
        return bytes(body)

    def _sound(self, own: OwnCircuit) -> bytes:
        """Return an end-to-end body that says nothing, mostly with a counter near the last, sometimes broken."""
        chance, end = self.chance, own.end_to_end
        last = (end.window.highest if end is not None else None) or 1
        counter = chance.choice((0, chance.getrandbits(64), *[max(0, last + chance.randrange(-1_100, 9)) for _ in range(6)]))
        body = serialise_sound(Sound(counter))
        if chance.random() < 0.7:
            return body
        # Never a segment that fits: the channel is not the model's.
        head = chance.choice((0, 0, 1, 2, 4)), chance.choice((0, 0, 1, 160)), chance.choice((0, 0, 0, 240)), chance.choice((0, 0, 1, 2, 3, 4, 5, 8))
        return body[:24] + bytes(head) + bytes([chance.random() < 0.2]) + bytes(219)

    def _enciphered(self, place: tuple[str, int], octets: bytes) -> bytes:
        """Return what somebody with the keys could say: speech for the next hop inside its layer, or an end-to-end cell, under a number near the present."""
        cell, chance = parse_cell(octets), self.chance
        assert cell is not None
        name, link = self.wires[place].to
        node, slot = self.nodes[name], (cell.slot + chance.randrange(-2, 6)) % 2**32
        for hop in node.hops.values():
            if hop.before == (link, cell.circuit):
                return octets[:4] + slot.to_bytes(4, "big") + hop.forward.encipher(tweak(slot), self._speech())
        own = node.links[link].own.own if link in node.links and node.links[link].own is not None else None  # type: ignore[union-attr] # just seen
        if own is not None and own.circuit == cell.circuit and own.hops:
            body = self._speech() if chance.random() < 0.5 else node.make_cipher(chance.choice(KEYS)).encipher(NO_TWEAK, self._sound(own))
            for hop_ in reversed(own.hops[: chance.randrange(1, 4)] if body.startswith(bytes(16)) else own.hops):
                body = hop_.backward.encipher(tweak(slot), body)
            return octets[:4] + slot.to_bytes(4, "big") + body
        return octets
